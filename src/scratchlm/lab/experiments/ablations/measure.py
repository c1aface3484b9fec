"""`experiment ablations`: what happens to a model when its parameters are changed, frozen or removed.

Parameters are counted by part. One parameter is varied while a probability is measured. Noise is added to all matrices,
and weights are set to zero, the smallest or random ones. Parts of a very small model are trained alone, each with the
best optimizer of a search, until more steps hardly help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.config import AblationsConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import above, below, every
from scratchlm.lab.shared.frozen import LAYERS, PARTS, VOCABULARY, WIDTH, Frozen, Part, optimizer_of
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import SmallModel, prepare_text, pretrain_small_model, text_size
from scratchlm.model.counting import sizes_of
from scratchlm.model.decoder import Decoder

PROMPT, ANSWER = "Once upon a", " time"
TURNS = tuple(round(-1.0 + 0.125 * step, 3) for step in range(17))
NOISE = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
CUT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""Function of a matrix, the size of the change and a random generator; returns the changed matrix."""
FROZEN_BYTES = 4_000_000
"""Text of the very small model: no training run reads a token twice."""
DOUBLINGS = 3
"""Further doublings of the steps that a difference must outlast, each with the gain of the last one."""
UNTRAINED: Mapping[str, Part] = {
    "nothing": Part(lambda name: False),
    "nothing, large embedding": Part(lambda name: False, scale=PARTS["feed-forward"].scale),
}


def run(config: AblationsConfig, steps: Steps, out: Findings) -> None:
    """Count parameters, vary one, add noise, set weights to zero, train parts alone."""
    size = text_size(config.pretraining_steps)
    data = prepare_text(config.books, size, config.vocabulary_size, steps.shared)
    small = pretrain_small_model(data, config.pretraining_steps, config.seed, steps)
    report_parts(out, small)
    report_turn(out, steps.shared.once("turn", turn, small), steps.once("turn", turn, small))
    changed = {
        key: steps.once(key, perturbed, small, config, change, sizes)
        for key, change, sizes in (("noise", add_noise, NOISE), ("cut", cut, CUT), ("random", cut_random, CUT))
    }
    report_perturbed(out, changed)
    report_frozen(out, train_parts(config, steps))
    out.notes += [
        "losses have intervals over blocks of held-out text",
        "noise and zeros apply to matrices only, including the embedding; norms are unchanged",
        f"parts are trained alone in a model of {LAYERS} layers of width {WIDTH} with a vocabulary of {VOCABULARY}",
        "a frozen embedding is ten times larger than initial ones, if not said otherwise; it is the output head too",
        "a search on validation text selects optimizer and learning rate of each part, at the first seed",
    ]


def turn(small: SmallModel) -> dict[str, Any]:
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
        slope_at = float(probability().detach())
        parameter.view(-1)[place] = value
        return slope_at

    measured = (at(1e-2) - at(-1e-2)) / 2e-2
    return {"name": name, "place": place, "value": value, "slope": slope, "measured": measured,
            "before": float(before.detach()), "probabilities": [round(at(turn), 9) for turn in TURNS]}  # fmt: skip


def _blocks(decoder: Decoder, small: SmallModel, config: AblationsConfig) -> list[float]:
    """Return the mean loss of blocks of the held-out text, in nats per token."""
    _, _, held_out = open_data(small.data)
    tokens = ArrayTokens(held_out.read(0, min(config.targets, len(held_out))).astype(np.int64))
    nats = token_nats(decoder, small.tokenizer, tokens)
    return [round(float(each.mean()), 9) for each in np.array_split(nats, max(2, len(nats) // 128))]


def add_noise(weight: Tensor, relative: float, draw: torch.Generator) -> Tensor:
    """Add normal noise; its standard deviation is `relative` times that of the weights."""
    return weight + relative * weight.std() * torch.randn(weight.shape, generator=draw)


def cut(weight: Tensor, fraction: float, draw: torch.Generator) -> Tensor:
    """Set the smallest weights to zero."""
    return _without(weight, weight.abs().flatten(), fraction)


def cut_random(weight: Tensor, fraction: float, draw: torch.Generator) -> Tensor:
    """Set random weights to zero, as many as `cut` does."""
    return _without(weight, torch.rand(weight.numel(), generator=draw), fraction)


def _without(weight: Tensor, ranks: Tensor, fraction: float) -> Tensor:
    """Return a copy in which the weights with the lowest ranks are zero."""
    pruned = weight.clone()
    pruned.view(-1)[ranks.argsort()[: int(fraction * weight.numel())]] = 0.0
    return pruned


def perturbed(
    small: SmallModel, config: AblationsConfig, change: Change, sizes: tuple[float, ...]
) -> dict[str, list[float]]:
    """Change every matrix by increasing amounts; return the held-out loss by block for each."""
    losses = {}
    for size in sizes:
        decoder, draw = small.pretrained().decoder, torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                if parameter.dim() == 2:
                    parameter.copy_(change(parameter, size, draw))
        losses[str(size)] = _blocks(decoder, small, config)
    return losses


class _Opened:
    """The text of the very small model, opened at first use."""

    def __init__(self, data: Path, targets: int) -> None:
        self._given = (data, targets)

    @cached_property
    def frozen(self) -> Frozen:
        return Frozen(*self._given)


def train_parts(config: AblationsConfig, steps: Steps) -> dict[str, dict[str, Any]]:
    """Train each part alone with its best optimizer, for several numbers of steps; return losses by block."""
    data = prepare_text(config.books, FROZEN_BYTES, VOCABULARY, steps.shared, "text-of-parts")
    opened = _Opened(data, config.targets)
    results: dict[str, dict[str, Any]] = {}
    for name, part in PARTS.items():
        search = lambda name=name: opened.frozen.search(name, config.search_steps, config.seed)  # noqa: E731
        best = steps.shared.once(f"search {name}", search)

        def work(part: Part = part, best: Mapping[str, Any] = best) -> dict[str, Any]:
            frozen, optimizer = opened.frozen, optimizer_of(best["kind"], best["rate"])
            trained = {str(count): frozen.train(part, optimizer, count, config.seed) for count in counts_of(config)}
            weights = sum(p.numel() for p in frozen.build(part, config.seed).parameters() if p.requires_grad)
            return {"trained": weights, "blocks": {at: frozen.blocks(each) for at, each in trained.items()}}

        results[name] = {**best, **steps.once(f"part {name}", work)}
    for name, part in UNTRAINED.items():
        blocks = lambda part=part: opened.frozen.blocks(opened.frozen.build(part, config.seed))  # noqa: E731
        results[name] = {"trained": 0, "blocks": {"0": steps.once(f"part {name}", blocks)}}
    return results


def counts_of(config: AblationsConfig) -> list[int]:
    """Return the numbers of steps, in ascending order: the last is twice the one before."""
    return sorted({max(1, config.frozen_steps // share) for share in (64, 16, 4, 2, 1)})


def report_parts(out: Findings, small: SmallModel) -> None:
    """Report the number of parameters of each part, and add the claim that they sum to the total."""
    sizes = sizes_of(small.shape)
    out.values["parameters"] = Value(sizes.parameters)
    for name, count in sizes.parts.items():
        out.values[f"part.{name}"] = Value(count)
    ranked = sorted(sizes.parts.items(), key=lambda item: -item[1])
    rows = [[name, f"{count:,}", f"{count / sizes.parameters:.1%}"] for name, count in ranked]
    out.table("Parameters by part", ["part", "count", "fraction"], rows)
    sums = sum(sizes.parts.values()) == small.random().decoder.parameter_count()
    out.claim("parts-sum", sums)


def report_turn(out: Findings, first: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Report how a prediction depends on one weight: the curve of the first seed, the error of the slope of each."""
    probabilities = first["probabilities"]
    line = [first["before"] + first["slope"] * added for added in (TURNS[0], TURNS[-1])]
    far = max(abs(line[0] - probabilities[0]), abs(line[1] - probabilities[-1]))
    measured = {
        "before": first["before"], "least": min(probabilities), "most": max(probabilities), "slope": first["slope"],
        "measured": first["measured"], "line-error": far,
        "error": abs(own["measured"] - own["slope"]) / abs(own["slope"]),
    }  # fmt: skip
    out.values |= {f"turn.{key}": Value(value) for key, value in measured.items()}
    title = f"Probability of {ANSWER!r} after {PROMPT!r} as one parameter of {first['name']} varies"
    lines = {f"entry {first['place']:,}, trained value {first['value']:.3f}": (TURNS, probabilities)}
    out.curves(title, "added to the parameter", "probability", lines)
    out.claim("gradient-foretells")


def report_perturbed(out: Findings, measured: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Report the loss for each size of a change to the weights, and how much it differs from no change."""
    for key, losses in measured.items():
        for size, blocks in losses.items():
            out.values[f"{key}.{size}"] = mean_of(blocks)
            out.gain(f"{key}.{size}.rise", paired(np.subtract(blocks, losses["0.0"])))
    for title, x, kinds in (
        ("Noise on every matrix", "noise, as a fraction of the standard deviation of the weights", {"noise": "noise"}),
        ("Weights of every matrix set to zero", "fraction set to zero", {"cut": "smallest", "random": "random"}),
    ):
        sizes = list(measured[next(iter(kinds))])
        rows: list[Row] = [
            [size, *(Cell(f"{key}.{size}{of}", form) for key in kinds for of, form in (("", ".3f"), (".rise", "+.3f")))]
            for size in sizes
        ]
        header = [
            f"{name}, {of}" for name in kinds.values() for of in ("nats per token", "more than the unchanged model")
        ]
        out.table(title, [x, *header], rows)
        heights = {name: [f"{key}.{size}" for size in sizes] for key, name in kinds.items()}
        out.curves(title, x, "nats per token", {name: ([*map(float, sizes)], each) for name, each in heights.items()})
    claim_perturbed(out)


def claim_perturbed(out: Findings) -> None:
    """Add the claims about noise and zeroed weights."""

    def little(key: str) -> str:
        """Return the test that the loss changes by less than 1%, upwards or downwards."""
        base = key.split(".")[0] + ".0.0"
        return every(f"{key}.rise < 0.01 * {base}", f"{key}.rise > -0.01 * {base}")

    out.claim("little-noise-is-forgiven", little("noise.0.01"))
    out.claim("much-noise-destroys")
    harmful = above("random.0.1.rise", "cut.0.1.rise")
    out.claim("small-weights-matter-little", every(little("cut.0.1"), harmful))


def report_frozen(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Report the loss that training each part alone reaches, and add the claims."""
    trained = {name: each for name, each in results.items() if name not in UNTRAINED}
    counts = list(results["everything"]["blocks"])
    for name, each in results.items():
        for count, blocks in each["blocks"].items():
            out.values[f"free.{named(name)}.{count}"] = mean_of(blocks)
        out.values[f"free.{named(name)}"] = mean_of(last(each))
    for name, each in trained.items():
        gain, loss = np.subtract(each["blocks"][counts[-2]], last(each)), float(np.mean(last(each)))
        out.gain(f"free.{named(name)}.doubling", paired(gain / loss))
    rows: list[Row] = [
        [name, f"{each['trained']:,}", f"{each['kind']}, {each['rate']:g}" if name in trained else "",
         Cell(f"free.{named(name)}"), Cell(f"free.{named(name)}.doubling", ".2%")]
        for name, each in results.items()
    ]  # fmt: skip
    header = ["trained parts", "parameters", "optimizer, rate", "nats per token", "gain of the last doubling of steps"]
    out.table(f"Parts trained for {counts[-1]} steps from random weights, the rest frozen", header, rows)
    lines = {name: ([float(at) for at in counts], [f"free.{named(name)}.{at}" for at in counts]) for name in trained}
    title = "Parts trained alone; each point is a training run of its own"
    levels: dict[str, float | str] = {"nothing trained": "free.nothing"}
    out.curves(title, "training steps", "nats per token", lines, logarithmic=True, levels=levels)
    _claim_frozen(out, results, counts)


def named(name: str) -> str:
    """Return the name of a part in the keys of values."""
    return name.replace(",", "").replace(" ", "-")


def last(each: Mapping[str, Any]) -> Sequence[float]:
    """Return the losses by block after the largest number of steps."""
    blocks: Sequence[float] = list(each["blocks"].values())[-1]
    return blocks


def _claim_frozen(out: Findings, trained: Mapping[str, Mapping[str, Any]], counts: Sequence[str]) -> None:
    def lower(one: str, other: str) -> str:
        """Add the difference of two losses, and what is left of it after further doublings for the worse one."""
        key, worse = f"{named(one)}.under.{named(other)}", trained[other]["blocks"]
        gaps = np.subtract(last(trained[other]), last(trained[one]))
        tests = [out.gain(key, paired(gaps))]
        if len(worse) > 1:
            still = gaps - DOUBLINGS * np.subtract(worse[counts[-2]], worse[counts[-1]])
            tests.append(out.gain(f"{key}.after-more-steps", paired(still)))
        return every(*tests)

    alone = [name for name in PARTS if name != "everything"]
    out.claim("frozen-learn-less", every(*(lower("everything", name) for name in alone)), doublings=DOUBLINGS)
    out.claim("embedding-matters-most", lower("embedding", "all but the embedding"), doublings=DOUBLINGS)
    out.claim("norms-are-not-enough", lower("embedding", "norms"))
    out.claim("nothing-learns-nothing", lower("norms", "nothing"))
    larger = [lower("feed-forward", "feed-forward, small embedding"), lower("nothing", "nothing, large embedding")]
    out.claim("logits-are-limited", every(*larger))
    out.claim("parts-converge", every(*(below(f"free.{named(name)}.doubling", 0.02) for name in alone)))
    inside = all(trained[name]["inside"] for name in PARTS)
    out.claim("rates-are-inside", inside)
