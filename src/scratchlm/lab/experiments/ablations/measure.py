"""`experiment knobs`: parameters as the knobs that training turns.

Counted by part; one of them turned, and a probability watched; parts frozen, and what can then still be learned; noise
added to all of them, and all of the smallest set to zero.
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

from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.data.prepare import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.ablations.config import KnobsConfig
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import BOOKS, Ours, prepare_ours
from scratchlm.model.counting import sizes_of
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.training.config import ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

PROMPT, ANSWER = "Once upon a", " time"
TURNS = tuple(round(-1.0 + 0.125 * step, 3) for step in range(17))
NOISE = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
CUT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""A matrix, how much of a change, and where draws come from, to the matrix changed."""
FREE: Mapping[str, Callable[[str], bool]] = {
    "everything": lambda name: True,
    "feed-forward alone": lambda name: ".feed_forward." in name,
    "attention alone": lambda name: ".attention." in name,
    "embedding alone": lambda name: name.startswith("embedding."),
    "norms alone": lambda name: "norm" in name,
    "nothing": lambda name: False,
}
"""What stays free where the rest is frozen."""


def files(config: KnobsConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    return {"books": config.data_file(BOOKS)}


def run(config: KnobsConfig, steps: Steps, outcome: Outcome) -> None:
    """Count, turn, freeze, disturb."""
    ours = prepare_ours(config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    _tell_parts(outcome, ours)
    tell_turn(outcome, steps.once("turn", partial(_turn, ours)))
    frozen = {name: steps.once(f"free {name}", partial(_freeze, ours, config, free)) for name, free in FREE.items()}
    tell_frozen(outcome, frozen)
    _tell_harm(outcome, steps.once("noise", partial(_harm, ours, config, _noisy, NOISE)), "noise",
               "Noise on every matrix, as a share of its spread")  # fmt: skip
    _tell_harm(outcome, steps.once("cut", partial(_harm, ours, config, _cut, CUT)), "cut",
               "Smallest weights of every matrix set to zero, share")  # fmt: skip
    claim_harm(outcome)
    outcome.notes += [
        "one model, one seed: intervals are those of stretches of held-out text",
        "what is frozen keeps its random weights, whose branches do not begin at zero here",
        "noise and zeros are put on matrices alone, the embedding among them; norms stay as they are",
    ]


def _tell_parts(outcome: Outcome, ours: Ours) -> None:
    sizes = sizes_of(ours.shape)
    outcome.values["parameters"] = Value(sizes.parameters)
    for name, count in sizes.parts.items():
        outcome.values[f"part.{name}"] = Value(count)
    ranked = sorted(sizes.parts.items(), key=lambda item: -item[1])
    rows = [[name, f"{count:,}", f"{count / sizes.parameters:.1%}"] for name, count in ranked]
    outcome.tables.append(Table("Parameters by part", ["part", "count", "share"], rows))
    whole = sum(sizes.parts.values()) == ours.random().decoder.parameter_count()
    outcome.claims["parts-sum"] = Claim("The parts add up to the whole", whole)


def _turn(ours: Ours) -> dict[str, Any]:
    """Turn the parameter of a block that the answer's probability depends on most; tell it at each turn."""
    model = ours.pretrained()
    decoder = model.decoder.eval()
    ids = torch.tensor([model.tokenizer.encode(PROMPT)])
    answer = model.tokenizer.encode(PROMPT + ANSWER)[ids.size(1)]

    def chance() -> Tensor:
        return decoder(ids)[0, -1].float().softmax(-1)[answer]

    before = chance()
    before.backward()  # type: ignore[no-untyped-call]
    blocks = {name: p for name, p in decoder.named_parameters() if name.startswith("blocks.") and p.grad is not None}
    name = max(blocks, key=lambda each: float(_grad(blocks[each]).abs().max()))
    parameter, place = blocks[name], int(_grad(blocks[name]).abs().argmax())
    slope, value = float(_grad(parameter).flatten()[place]), float(parameter.detach().flatten()[place])

    @torch.no_grad()
    def at(turn: float) -> float:
        parameter.view(-1)[place] = value + turn
        found = float(chance().detach())
        parameter.view(-1)[place] = value
        return found

    measured = (at(1e-2) - at(-1e-2)) / 2e-2
    return {"name": name, "place": place, "value": value, "slope": slope, "measured": measured,
            "before": float(before.detach()), "chances": [round(at(turn), 9) for turn in TURNS]}  # fmt: skip


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def tell_turn(outcome: Outcome, found: dict[str, Any]) -> None:
    """Tell what turning one weight does to a prediction."""
    chances = found["chances"]
    outcome.values["turn.before"] = Value(found["before"])
    outcome.values["turn.least"], outcome.values["turn.most"] = Value(min(chances)), Value(max(chances))
    outcome.values["turn.slope"], outcome.values["turn.measured"] = Value(found["slope"]), Value(found["measured"])
    title = f"Probability of {ANSWER!r} after {PROMPT!r} as one parameter of {found['name']} is turned"
    lines = {f"number {found['place']:,}, which is {found['value']:.3f}": (TURNS, chances)}
    outcome.curves.append(Curves(title, "added to the parameter", "probability", lines))
    near = abs(found["measured"] - found["slope"]) < 0.05 * abs(found["slope"])
    outcome.claims["gradient-foretells"] = Claim(
        "The gradient foretells how one parameter, turned a little, moves the probability, within a twentieth",
        near,
    )


def _held_out(ours: Ours, config: KnobsConfig) -> ArrayTokens:
    _, _, held_out = open_data(ours.data)
    return ArrayTokens(held_out.read(0, min(config.targets, len(held_out))).astype(np.int64))


def _blocks(decoder: Decoder, ours: Ours, config: KnobsConfig) -> list[float]:
    """Return the mean nats of stretches of the held-out text."""
    nats = token_nats(decoder, ours.tokenizer, _held_out(ours, config))
    return [round(float(each.mean()), 9) for each in np.array_split(nats, max(2, len(nats) // 128))]


def _freeze(ours: Ours, config: KnobsConfig, free: Callable[[str], bool]) -> dict[str, Any]:
    """Begin from random weights, train what is free, and return what held-out text costs."""
    # Branches must not begin at zero: frozen there, they would hide the rest of their block from the gradient.
    decoder = build_decoder(replace(ours.shape, zero_init_outputs=False), config.seed)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(free(name))
    trained = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    if trained:
        _, train, _ = open_data(ours.data)
        schedule = ScheduleConfig(warmup_steps=10)
        training = replace(
            load_recipe("default", ours.shape.layers).training, steps=config.frozen_steps, schedule=schedule
        )
        length = min(training.sequence_length, len(train) // 2)
        batches = WindowBatches(train, training.batch_size, length, config.seed)
        fit(Loop(decoder, batches, replace(training, sequence_length=length), runtime=RuntimeConfig(seed=config.seed)))
    return {"trained": trained, "blocks": _blocks(decoder, ours, config)}


def tell_frozen(outcome: Outcome, found: dict[str, dict[str, Any]]) -> None:
    """Tell what training parts of a model reaches."""
    rows = []
    for name, each in found.items():
        blocks = np.array(each["blocks"])
        mean, half = float(blocks.mean()), 1.96 * standard_error(blocks)
        outcome.values[f"free.{name.replace(' ', '-')}"] = Value(mean, mean - half, mean + half)
        rows.append([name, f"{each['trained']:,}", f"{mean:.3f}"])
    header = ["free to learn", "parameters", "nats a token after training"]
    outcome.tables.append(Table("From random weights, the rest frozen", header, rows))
    parts = [name for name in found if name not in ("everything", "nothing")]
    best = min(parts, key=lambda name: outcome.values[f"free.{name.replace(' ', '-')}"].value)
    for key, more, less, says in (
        ("frozen-learn-less", "everything", best, "All parts together learn more than the best of them alone"),
        (
            "norms-are-not-enough",
            "embedding alone",
            "norms alone",
            "The norms alone, few numbers, learn less than the table of token vectors alone",
        ),
        ("nothing-learns-nothing", "norms alone", "nothing", "and yet more than nothing"),
    ):
        gaps = np.array(found[less]["blocks"]) - np.array(found[more]["blocks"])
        compared = comparison_of(float(gaps.mean()), standard_error(gaps))
        outcome.values[f"{key}.gap"] = Value(compared.difference, *compared.interval)
        outcome.claims[key] = Claim(says, compared.interval.low > 0)


def _noisy(weight: Tensor, share: float, draw: torch.Generator) -> Tensor:
    return weight + share * weight.std() * torch.randn(weight.shape, generator=draw)


def _cut(weight: Tensor, share: float, draw: torch.Generator) -> Tensor:
    count = int(share * weight.numel())
    if not count:
        return weight.clone()
    limit = weight.abs().flatten().kthvalue(count).values
    return torch.where(weight.abs() <= limit, torch.zeros_like(weight), weight)


def _harm(
    ours: Ours,
    config: KnobsConfig,
    change: Change,
    shares: tuple[float, ...],
) -> dict[str, list[float]]:
    """Change every matrix by more and more, and return what held-out text costs."""
    found = {}
    for share in shares:
        decoder, draw = ours.pretrained().decoder, torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                if parameter.dim() == 2:
                    parameter.copy_(change(parameter, share, draw))
        found[str(share)] = _blocks(decoder, ours, config)
    return found


def _tell_harm(outcome: Outcome, found: dict[str, list[float]], key: str, title: str) -> None:
    rows, means = [], []
    for share, blocks in found.items():
        mean, half = float(np.mean(blocks)), 1.96 * standard_error(blocks)
        outcome.values[f"{key}.{share}"] = Value(mean, mean - half, mean + half)
        means.append(mean)
        rows.append([share, f"{mean:.3f}"])
    outcome.tables.append(Table(title, ["share", "nats a token"], rows))
    outcome.curves.append(Curves(title, "share", "nats a token", {key: ([float(share) for share in found], means)}))


def claim_harm(outcome: Outcome) -> None:
    """Judge what the notes say of kinds of changes to the weights."""

    def of(name: str) -> float:
        return outcome.values[name].value

    outcome.claims["little-noise-is-forgiven"] = Claim(
        "Noise of a hundredth of their spread on all matrices changes the loss by less than one percent",
        abs(of("noise.0.01") - of("noise.0.0")) < 0.01 * of("noise.0.0"),
    )
    outcome.claims["much-noise-destroys"] = Claim(
        "Noise as large as the weights' spread costs more than a nat a token", of("noise.1.0") > of("noise.0.0") + 1
    )
    outcome.claims["small-weights-matter-little"] = Claim(
        "A tenth of the weights, the smallest, can be set to zero for less than one percent of the loss",
        of("cut.0.1") - of("cut.0.0") < 0.01 * of("cut.0.0"),
    )
