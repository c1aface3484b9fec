"""`experiment ablations`: what happens to a model when its parameters are changed, frozen or removed.

Parameters are counted by part. One parameter is varied while a probability is measured. Parts are frozen at random
values and the rest is trained. Noise is added to all matrices, and their smallest weights are set to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.data.prepare import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.ablations.claims import (
    ANSWER,
    PROMPT,
    TURNS,
    claim_perturbed,
    report_frozen,
    report_parts,
    report_perturbed,
    report_turn,
)
from scratchlm.lab.experiments.ablations.config import AblationsConfig
from scratchlm.lab.harness.outcome import Outcome
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import BOOKS, SmallModel, prepare_small_model
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.training.config import ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

NOISE = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
CUT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""Function of a matrix, the size of the change and a random generator; returns the changed matrix."""
TRAINABLE: Mapping[str, Callable[[str], bool]] = {
    "everything": lambda name: True,
    "feed-forward alone": lambda name: ".feed_forward." in name,
    "attention alone": lambda name: ".attention." in name,
    "embedding alone": lambda name: name.startswith("embedding."),
    "norms alone": lambda name: "norm" in name,
    "nothing": lambda name: False,
}
"""Parts that are trained while the rest is frozen; a predicate on parameter names."""


def files(config: AblationsConfig) -> dict[str, Path]:
    """Return the input files."""
    return {"books": config.data_file(BOOKS)}


def run(config: AblationsConfig, steps: Steps, outcome: Outcome) -> None:
    """Count parameters, vary one, freeze parts, add noise, set weights to zero."""
    small = prepare_small_model(
        config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps
    )
    report_parts(outcome, small)
    report_turn(outcome, steps.once("turn", partial(_turn, small)))
    frozen = {
        name: steps.once(f"free {name}", partial(_freeze, small, config, part)) for name, part in TRAINABLE.items()
    }
    report_frozen(outcome, frozen)
    noise = steps.once("noise", partial(_perturbed, small, config, _noisy, NOISE))
    report_perturbed(
        outcome, noise, "noise", "Noise on every matrix", "standard deviation of the noise / of the weights"
    )
    cut = steps.once("cut", partial(_perturbed, small, config, _cut, CUT))
    report_perturbed(outcome, cut, "cut", "Smallest weights of every matrix set to zero", "fraction set to zero")
    claim_perturbed(outcome)
    outcome.notes += [
        "one model, one seed: intervals are over blocks of held-out text",
        "frozen parts keep their random weights; here no branch is initialised to zero",
        "noise and zeros apply to matrices only, including the embedding; norms are unchanged",
    ]


def _turn(small: SmallModel) -> dict[str, Any]:
    """Vary the block parameter with the largest gradient of the answer's probability; return all probabilities."""
    model = small.pretrained()
    decoder = model.decoder.eval()
    ids = torch.tensor([model.tokenizer.encode(PROMPT)])
    answer = model.tokenizer.encode(PROMPT + ANSWER)[ids.size(1)]

    def probability() -> Tensor:
        return decoder(ids)[0, -1].float().softmax(-1)[answer]

    before = probability()
    before.backward()  # type: ignore[no-untyped-call]
    blocks = {name: p for name, p in decoder.named_parameters() if name.startswith("blocks.") and p.grad is not None}
    name = max(blocks, key=lambda each: float(_grad(blocks[each]).abs().max()))
    parameter, place = blocks[name], int(_grad(blocks[name]).abs().argmax())
    slope, value = float(_grad(parameter).flatten()[place]), float(parameter.detach().flatten()[place])

    @torch.no_grad()
    def at(turn: float) -> float:
        parameter.view(-1)[place] = value + turn
        found = float(probability().detach())
        parameter.view(-1)[place] = value
        return found

    measured = (at(1e-2) - at(-1e-2)) / 2e-2
    return {"name": name, "place": place, "value": value, "slope": slope, "measured": measured,
            "before": float(before.detach()), "probabilities": [round(at(turn), 9) for turn in TURNS]}  # fmt: skip


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _held_out(small: SmallModel, config: AblationsConfig) -> ArrayTokens:
    _, _, held_out = open_data(small.data)
    return ArrayTokens(held_out.read(0, min(config.targets, len(held_out))).astype(np.int64))


def _blocks(decoder: Decoder, small: SmallModel, config: AblationsConfig) -> list[float]:
    """Return the mean loss of blocks of the held-out text, in nats per token."""
    nats = token_nats(decoder, small.tokenizer, _held_out(small, config))
    return [round(float(each.mean()), 9) for each in np.array_split(nats, max(2, len(nats) // 128))]


def _freeze(small: SmallModel, config: AblationsConfig, trainable: Callable[[str], bool]) -> dict[str, Any]:
    """Train only some parts of a randomly initialised model; return the held-out loss by block."""
    # Zero-initialised branches, once frozen, would pass no gradient to the rest of their block.
    decoder = build_decoder(replace(small.shape, zero_init_outputs=False), config.seed)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(trainable(name))
    trained = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    if trained:
        _, train, _ = open_data(small.data)
        schedule = ScheduleConfig(warmup_steps=10)
        training = replace(
            load_recipe("default", small.shape.layers).training, steps=config.frozen_steps, schedule=schedule
        )
        length = min(training.sequence_length, len(train) // 2)
        batches = WindowBatches(train, training.batch_size, length, config.seed)
        fit(Loop(decoder, batches, replace(training, sequence_length=length), runtime=RuntimeConfig(seed=config.seed)))
    return {"trained": trained, "blocks": _blocks(decoder, small, config)}


def _noisy(weight: Tensor, relative: float, draw: torch.Generator) -> Tensor:
    return weight + relative * weight.std() * torch.randn(weight.shape, generator=draw)


def _cut(weight: Tensor, fraction: float, draw: torch.Generator) -> Tensor:
    count = int(fraction * weight.numel())
    if not count:
        return weight.clone()
    limit = weight.abs().flatten().kthvalue(count).values
    return torch.where(weight.abs() <= limit, torch.zeros_like(weight), weight)


def _perturbed(
    small: SmallModel,
    config: AblationsConfig,
    change: Change,
    sizes: tuple[float, ...],
) -> dict[str, list[float]]:
    """Change every matrix by increasing amounts; return the held-out loss by block for each."""
    found = {}
    for size in sizes:
        decoder, draw = small.pretrained().decoder, torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                if parameter.dim() == 2:
                    parameter.copy_(change(parameter, size, draw))
        found[str(size)] = _blocks(decoder, small, config)
    return found
