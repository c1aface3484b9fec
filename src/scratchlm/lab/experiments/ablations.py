"""`experiment ablations`: what happens to a model when its parameters are changed, frozen or removed.

Parameters are counted by part. One parameter is varied while a probability is measured. Parts are frozen at random
values and the rest is trained. Noise is added to all matrices, and their smallest weights are set to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepare import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.config import AblationsConfig
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model
from scratchlm.model.counting import sizes_of
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.training.config import ScheduleConfig

PROMPT, ANSWER = "Once upon a", " time"
TURNS = tuple(round(-1.0 + 0.125 * step, 3) for step in range(17))
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


def run(config: AblationsConfig, steps: Steps, outcome: Outcome) -> None:
    """Count parameters, vary one, freeze parts, add noise, set weights to zero."""
    small = prepare_small_model(config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    report_parts(outcome, small)
    report_turn(outcome, steps.once("turn", _turn, small))
    parts = TRAINABLE.items()
    report_frozen(outcome, {name: steps.once(f"free {name}", _freeze, small, config, p) for name, p in parts})
    for key, change, sizes, title, x in (
        ("noise", _noisy, NOISE, "Noise on every matrix", "standard deviation of the noise / of the weights"),
        ("cut", _cut, CUT, "Smallest weights of every matrix set to zero", "fraction set to zero"),
    ):
        found = steps.once(key, _perturbed, small, config, change, sizes)
        report_perturbed(outcome, found, key, title, x)
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
    blocks = [(name, p.grad) for name, p in decoder.named_parameters() if name.startswith("blocks.")]
    grads = {name: grad for name, grad in blocks if grad is not None}
    name = max(grads, key=lambda each: float(grads[each].abs().max()))
    parameter, place = decoder.get_parameter(name), int(grads[name].abs().argmax())
    slope, value = float(grads[name].flatten()[place]), float(parameter.detach().flatten()[place])

    @torch.no_grad()
    def at(turn: float) -> float:
        parameter.view(-1)[place] = value + turn
        found = float(probability().detach())
        parameter.view(-1)[place] = value
        return found

    measured = (at(1e-2) - at(-1e-2)) / 2e-2
    return {"name": name, "place": place, "value": value, "slope": slope, "measured": measured,
            "before": float(before.detach()), "probabilities": [round(at(turn), 9) for turn in TURNS]}  # fmt: skip


def _blocks(decoder: Decoder, small: SmallModel, config: AblationsConfig) -> list[float]:
    """Return the mean loss of blocks of the held-out text, in nats per token."""
    _, _, held_out = open_data(small.data)
    tokens = ArrayTokens(held_out.read(0, min(config.targets, len(held_out))).astype(np.int64))
    nats = token_nats(decoder, small.tokenizer, tokens)
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
        training = load_recipe("default", small.shape.layers).training
        length = min(training.sequence_length, len(train) // 2)
        schedule = ScheduleConfig(warmup_steps=10)
        training = replace(training, steps=config.frozen_steps, schedule=schedule, sequence_length=length)
        fit_windows(decoder, train, training, config.seed)
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
    small: SmallModel, config: AblationsConfig, change: Change, sizes: tuple[float, ...]
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


def report_parts(outcome: Outcome, small: SmallModel) -> None:
    """Report the number of parameters of each part, and add the claim that they sum to the total."""
    sizes = sizes_of(small.shape)
    outcome.values["parameters"] = Value(sizes.parameters)
    for name, count in sizes.parts.items():
        outcome.values[f"part.{name}"] = Value(count)
    ranked = sorted(sizes.parts.items(), key=lambda item: -item[1])
    rows = [[name, f"{count:,}", f"{count / sizes.parameters:.1%}"] for name, count in ranked]
    outcome.tables.append(Table("Parameters by part", ["part", "count", "fraction"], rows))
    whole = sum(sizes.parts.values()) == small.random().decoder.parameter_count()
    outcome.claim("parts-sum", "The parts sum to the total", whole)


def report_turn(outcome: Outcome, found: dict[str, Any]) -> None:
    """Report how a prediction depends on one weight."""
    probabilities = found["probabilities"]
    measured = {
        "before": found["before"], "least": min(probabilities), "most": max(probabilities), "slope": found["slope"],
        "measured": found["measured"],
    }  # fmt: skip
    outcome.values |= {f"turn.{key}": Value(value) for key, value in measured.items()}
    title = f"Probability of {ANSWER!r} after {PROMPT!r} as one parameter of {found['name']} varies"
    lines = {f"entry {found['place']:,}, trained value {found['value']:.3f}": (TURNS, probabilities)}
    outcome.curves.append(Curves(title, "added to the parameter", "probability", lines))
    says = "The gradient predicts within 5% how a small change of one parameter moves the probability"
    near = abs(found["measured"] - found["slope"]) < 0.05 * abs(found["slope"])
    outcome.claim("gradient-foretells", says, near)


def report_frozen(outcome: Outcome, found: dict[str, dict[str, Any]]) -> None:
    """Report the loss that training each part alone reaches."""
    losses = {name: mean_of(each["blocks"]) for name, each in found.items()}
    outcome.values |= {f"free.{name.replace(' ', '-')}": loss for name, loss in losses.items()}
    rows = [[name, f"{found[name]['trained']:,}", f"{loss.value:.3f}"] for name, loss in losses.items()]
    header = ["trainable parts", "parameters", "nats per token after training"]
    outcome.tables.append(Table("Trained from random weights, the rest frozen", header, rows))
    best = min((name for name in found if name not in ("everything", "nothing")), key=lambda name: losses[name].value)
    for key, more, less, says in (
        ("frozen-learn-less", "everything", best, "All parts together reach a lower loss than the best part alone"),
        ("norms-are-not-enough", "embedding alone", "norms alone",
         "Training the norms alone reaches a higher loss than training the embedding alone"),
        ("nothing-learns-nothing", "norms alone", "nothing", "but a lower one than no training"),
    ):  # fmt: skip
        compared = paired(np.subtract(found[less]["blocks"], found[more]["blocks"]))
        outcome.claim(key, says, outcome.gain(f"{key}.gap", compared))


def report_perturbed(outcome: Outcome, found: dict[str, list[float]], key: str, title: str, x: str) -> None:
    """Report the loss for each size of a change to the weights."""
    losses = {size: mean_of(blocks) for size, blocks in found.items()}
    outcome.values |= {f"{key}.{size}": loss for size, loss in losses.items()}
    rows = [[size, f"{loss.value:.3f}"] for size, loss in losses.items()]
    outcome.tables.append(Table(title, [x, "nats per token"], rows))
    lines = {key: ([float(size) for size in found], [loss.value for loss in losses.values()])}
    outcome.curves.append(Curves(title, x, "nats per token", lines))


def claim_perturbed(outcome: Outcome) -> None:
    """Add the claims about noise and zeroed weights."""
    names = ("noise.0.0", "noise.0.01", "noise.1.0", "cut.0.0", "cut.0.1")
    none, little, much, whole, cut = (outcome.values[name].value for name in names)
    says = "Noise of 1% of their standard deviation on all matrices changes the loss by less than 1%"
    outcome.claim("little-noise-is-forgiven", says, abs(little - none) < 0.01 * none)
    says = "Noise of 100% of their standard deviation raises the loss by more than 1 nat per token"
    outcome.claim("much-noise-destroys", says, much > none + 1)
    says = "Setting the smallest 10% of the weights to zero raises the loss by less than 1%"
    outcome.claim("small-weights-matter-little", says, cut - whole < 0.01 * whole)
