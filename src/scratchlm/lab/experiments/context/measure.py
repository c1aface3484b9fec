"""`experiment context`: how a model uses the tokens before the one it predicts.

The same held-out tokens are predicted with context of several lengths, without attention and without single heads. What
the order of the context is worth is measured with a network that gets the places of tokens only up to windows. The
pretrained model never saw shuffled text and is confused by it, so its loss alone does not say (`shared/word_order.py`).
Repeated random tokens are predicted with and without the heads that copy them, by a model that cannot copy by position
(`shared/copying.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import Tokens
from scratchlm.data.prepared import open_data
from scratchlm.inspection.heads import ablated, all_heads, induction_scores
from scratchlm.lab.experiments.config import ContextConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.seeds import over_seeds
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import above, every
from scratchlm.lab.shared import copying
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model
from scratchlm.lab.shared.word_order import (
    CONTEXT,
    WIDTHS,
    bag_nats,
    last_nats,
    reader_nats,
    shuffled,
    shuffled_nats,
    train_reader,
)

NEAR = 8
"""Tokens that keep their order when those before them are shuffled."""
CONDITIONS = {
    "shuffled": "all tokens shuffled",
    "far shuffled": f"all but the last {NEAR} tokens shuffled",
    "no attention": "no attention",
}
"""Conditions other than the length of the context, as the table names them."""
ORDERS = {
    "decoder": "pretrained model, tokens shuffled within blocks",
    "half": "network of blocks, half of its training",
    "reader": "network of blocks",
}
"""Models that predict without the order within blocks."""
COPIERS = {"many": (copying.SHORTEST, copying.PERIOD), "one": (copying.PERIOD, copying.PERIOD)}
"""The models that copy, with their shortest and longest period in training."""
WAYS = ("second", "without-induction", "without-previous", "without-both", "without-neutral", "without-first-layer")


def run(config: ContextConfig, steps: Steps, out: Findings) -> None:
    """Predict the same tokens under each condition."""
    small = prepare_small_model(config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    visible = steps.once("visible", _visible, small, config)
    orders = steps.once("orders", _orders, small, config)
    heads = steps.once("heads", _heads, small, config)
    books = steps.once("copies of books", _book_copies, small, config)
    first = int(out.settings.get("seed", config.seed))
    copies = [
        steps.shared.once(f"copies-{seed}", _copies, config, seed) for seed in range(first, first + config.copy_seeds)
    ]
    bag = steps.shared.once("bag", _bag, small, config)
    of = steps.shared.once("books of targets", _books, small, config)
    report_context(out, _arrays(visible), small.shape.context, of)
    report_order(out, {name: _arrays(nats) for name, nats in orders.items()}, np.array(bag), _arrays(visible), of)
    report_heads(out, _arrays(heads), of)
    report_copies(out, copies, books)
    out.values["guessing"] = Value(math.log(small.shape.vocabulary_size))
    out.notes += [
        f"models that copy: {config.copy_seeds} seeds of their own, {copying.PERIOD} and {copying.OTHER} tokens a text",
        "an ablated head outputs zero; the model was not trained without it",
        "held-out tokens of one book vary together; intervals are over books",
        "the most important head and the roles of heads were chosen on other rows than those tested",
    ]


def lengths(context: int) -> list[int]:
    """Return the context lengths to test: powers of two."""
    return [2**power for power in range(context.bit_length()) if 2**power <= context]


def _starts(held_out: Tokens, length: int, config: ContextConfig) -> np.ndarray:
    """Draw where windows of `length` tokens start.

    They are the same for all seeds, so that intervals over seeds and over windows can be joined.
    """
    places = len(held_out) - length
    return np.random.default_rng(0).choice(places, size=min(config.targets, places), replace=False)


def _windows(small: SmallModel, config: ContextConfig) -> Tensor:
    """Draw windows of held-out text, each one token longer than the context, shape (N, context + 1)."""
    _, _, held_out = open_data(small.data)
    length = small.shape.context + 1
    read = [held_out.read(int(at), int(at) + length) for at in _starts(held_out, length, config)]
    return torch.from_numpy(np.stack(read).astype(np.int64))


def _books(small: SmallModel, config: ContextConfig) -> list[int]:
    """Return the number of the book that holds the last token of each window."""
    tokenizer, _, held_out = open_data(small.data)
    length = small.shape.context + 1
    ends = np.flatnonzero(held_out.read(0, len(held_out)) == tokenizer.end_of_text)
    numbers: list[int] = np.searchsorted(ends, _starts(held_out, length, config) + length - 1).tolist()
    return numbers


def _visible(small: SmallModel, config: ContextConfig) -> dict[str, list[float]]:
    """Predict with context of each length, with shuffled context, and without attention."""
    decoder, windows = small.pretrained().decoder, _windows(small, config)
    nats = {str(count): last_nats(decoder, windows[:, -count - 1 :]) for count in lengths(small.shape.context)}
    context = windows.size(1) - 1
    for name, kept in (("shuffled", 0), ("far shuffled", NEAR)):
        nats[name] = last_nats(decoder, _mixed(windows, context - kept))
    blind = ablated(all_heads(decoder))
    nats["no attention"] = last_nats(decoder, windows, blind)
    nats["no attention, shuffled"] = last_nats(decoder, _mixed(windows, context - 1), blind)
    return _rounded(nats)


def _mixed(windows: Tensor, count: int) -> Tensor:
    """Shuffle the first `count` tokens of each window."""
    mixed = shuffled(windows[:, :count], count, np.random.default_rng(0))
    return torch.cat([mixed, windows[:, count:]], 1)


def _orders(small: SmallModel, config: ContextConfig) -> dict[str, dict[str, list[float]]]:
    """Predict without the order within windows, by each of `ORDERS`."""
    decoder, windows = small.pretrained().decoder, _windows(small, config)
    _, train, _ = open_data(small.data)
    nats = {"decoder": _rounded(shuffled_nats(decoder, windows))}
    for name, steps in (("half", config.order_steps // 2), ("reader", config.order_steps)):
        nats[name] = _rounded(reader_nats(train_reader(decoder, train, steps, config.seed), windows))
    return nats


def _bag(small: SmallModel, config: ContextConfig) -> list[float]:
    """Predict from the bag of the context by counts."""
    _, train, _ = open_data(small.data)
    nats = bag_nats(train.read(0, len(train)), _windows(small, config), small.shape.vocabulary_size)
    return [round(float(each), 9) for each in nats]


def _heads(small: SmallModel, config: ContextConfig) -> dict[str, list[float]]:
    """Return the increase in loss on each window when one head is ablated."""
    decoder, windows = small.pretrained().decoder, _windows(small, config)[: config.targets // 2]
    intact = last_nats(decoder, windows)
    return _rounded(
        {copying.name(head): last_nats(decoder, windows, ablated([head])) - intact for head in all_heads(decoder)}
    )


def _copies(config: ContextConfig, seed: int) -> dict[str, dict[str, Any]]:
    """Train each model that copies, and test it."""
    return {
        name: copying.measure(copying.copying_model(*periods, config.copy_steps, seed), config.copies)
        for name, periods in COPIERS.items()
    }


def _book_copies(small: SmallModel, config: ContextConfig) -> dict[str, Any]:
    """Predict repeated random tokens by the model that was pretrained on books."""
    decoder, period = small.pretrained().decoder, small.shape.context // 2
    scored, tested = (copying.repeated(config.copies, period, small.shape.vocabulary_size, draw) for draw in (1, 2))
    losses = dict(zip(("first", "second"), copying.losses(decoder, tested, period), strict=True))
    return {**losses, "score": round(max(induction_scores(decoder, scored, period).values()), 9)}


def _rounded(arrays: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: [round(float(each), 9) for each in nats] for name, nats in arrays.items()}


def _arrays(lists: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(nats) for name, nats in lists.items()}


def report_context(out: Findings, nats: Mapping[str, np.ndarray], context: int, books: Sequence[int]) -> None:
    """Report how the loss depends on the length of the context and on attention; `books` has that of each token."""
    seen = lengths(context)
    keys = {name: f"loss.{name.replace(' ', '-')}" for name in (*map(str, seen), *CONDITIONS)}
    out.values |= {key: mean_of(nats[name], books) for name, key in keys.items()}
    lines = {"all tokens": (seen, [keys[str(count)] for count in seen])}
    levels = {name: keys[name] for name in ("shuffled", "no attention")}
    out.curves("Loss by context length", "tokens of context", "nats per token", lines, True, levels)
    rows: list[Row] = [
        [CONDITIONS.get(name, f"{name} token{'s' * (name != '1')} of context"), Cell(key)] for name, key in keys.items()
    ]
    out.table(f"The same {len(nats['1']):,} held-out tokens, nats per token", ["condition", "loss"], rows)
    few = nats["16"] if "16" in nats else nats[str(seen[0])]
    for key, gaps in (
        ("context-helps", nats["1"] - few),
        ("far-context-helps", few - nats[str(seen[-1])]),
    ):  # fmt: skip
        out.claim(key, out.gain(key, paired(gaps, books)))
    changed = np.abs(nats["no attention, shuffled"] - nats["no attention"])
    out.values["no-attention.change"] = Value(float(changed.max()))
    out.claim("attention-carries-context", not changed.any())


def report_order(
    out: Findings, orders: Mapping[str, Mapping[str, np.ndarray]], bag: np.ndarray, visible: Mapping[str, np.ndarray],
    books: Sequence[int],
) -> None:  # fmt: skip
    """Report what the order of the last tokens is worth, apart from confusion; `books` has that of each token."""
    for name, each in orders.items():
        out.values |= {f"order.{name}.{width}": mean_of(nats, books) for width, nats in each.items()}
    out.values["order.bag"] = mean_of(bag, books)
    rows: list[Row] = [
        ["known" if width == 1 else f"unknown within blocks of {width}",
         *(Cell(f"order.{name}.{width}") for name in orders)] for width in WIDTHS
    ]  # fmt: skip
    rows.append(["bag of words by counts, no network", "", "", Cell("order.bag")])
    title = f"Loss after {CONTEXT} tokens of context, nats per token"
    out.table(title, ["order", *(ORDERS[name] for name in orders)], rows)
    lines = {ORDERS[name]: (WIDTHS, [f"order.{name}.{width}" for width in WIDTHS]) for name in ("decoder", "reader")}
    levels: dict[str, float | str] = {
        "bag of words by counts, no network": "order.bag",
        "one token in its place": "loss.1",
    }
    out.curves(title, "length of the blocks, tokens", "nats per token", lines, True, levels)
    _claim_order(out, orders, bag, visible["1"], books)


def _claim_order(
    out: Findings, orders: Mapping[str, Mapping[str, np.ndarray]], bag: np.ndarray, one: np.ndarray,
    books: Sequence[int],
) -> None:  # fmt: skip
    """Add the claims about order; `one` is the loss with one token of context."""

    def gain(key: str, gaps: np.ndarray) -> str:
        return out.gain(key, paired(gaps, books))

    decoder, half, reader = (orders[name] for name in ("decoder", "half", "reader"))
    bag_of = str(CONTEXT)
    worth = reader[bag_of] - reader["1"]
    gain("order.half.worth", half[bag_of] - half["1"])
    gain("order.at-most", reader[bag_of] - decoder["1"])
    gain("order.confusion", decoder[bag_of] - reader[bag_of])
    out.claim("order-matters", gain("order-matters", worth), context=CONTEXT)
    confusion = 2 * (decoder[bag_of] - reader[bag_of]) - (decoder[bag_of] - decoder["1"])
    most = every(gain("confusion-is-most", confusion), gain("order.reader.behind", reader["1"] - decoder["1"]))
    out.claim("confusion-is-most", most)
    near = 2 * (reader["4"] - reader["1"]) - worth
    out.claim("near-order-is-most", gain("near-order-is-most", near), context=CONTEXT)
    still = reader[bag_of] - one - (half[bag_of] - reader[bag_of])
    tests = [gain("one-token-beats-a-bag", reader[bag_of] - one), gain("one-token-beats-more-training", still)]
    out.claim("one-token-beats-a-bag", every(*tests, gain("one-token-beats-counts", bag - one)), context=CONTEXT)


def report_heads(out: Findings, increases: Mapping[str, np.ndarray], books: Sequence[int]) -> None:
    """Report the increase in loss when each head is ablated; `books` has that of each token.

    The best and the median head are chosen on the first half of the tokens and compared on the second.
    """
    count = len(next(iter(increases.values())))
    out.values |= {f"head.{name}": mean_of(gaps, books[:count]) for name, gaps in increases.items()}
    rows: list[Row] = [[name, Cell(f"head.{name}", "+.3f")] for name in increases]
    out.table("Increase in loss without one head (layer.head)", ["head", "nats per token"], rows)
    half = count // 2
    ranked = sorted(increases, key=lambda name: float(np.mean(increases[name][:half])))
    most, median = (increases[ranked[place]][half:] for place in (-1, len(ranked) // 2))
    others = books[half:count]
    out.values |= {"head.most": mean_of(most, others), "head.median": mean_of(median, others)}
    unequal = every(out.gain("head.over-three-medians", paired(most - 3 * median, others)), above("head.most", 0.003))
    out.claim("heads-are-unequal", unequal)


def report_copies(out: Findings, copies: Sequence[Mapping[str, Mapping[str, Any]]], books: Mapping[str, Any]) -> None:
    """Report how repeated random tokens are predicted, with and without the heads of each role."""
    for model in COPIERS:
        values = [_copy_values(each[model]) for each in copies]
        out.values |= {f"copy.{model}.{key}": over_seeds([each[key] for each in values]) for key in values[0]}
    out.values |= {f"copy.books.{way}": mean_of(books[way]) for way in ("first", "second")}
    out.values["copy.books.score"] = Value(books["score"])
    names = {
        "first": "first occurrence",
        "second": "second occurrence",
        "without-induction": "second, without induction heads",
        "without-previous": "second, without previous-token heads",
        "without-both": "second, without both",
        "without-neutral": "second, without as many neutral heads",
        "without-first-layer": "second, without the first layer's heads",
    }
    columns = [(model, other) for model in COPIERS for other in ("", "other.")]
    rows: list[Row] = [
        [shown, *(Cell(f"copy.{model}.{other}{way}", ".2f") for model, other in columns),
         *([Cell(f"copy.books.{way}", ".2f")] if f"copy.books.{way}" in out.values else [""])]
        for way, shown in names.items()
    ]  # fmt: skip
    trained = {
        "many": f"trained on periods {copying.SHORTEST} to {copying.PERIOD}",
        "one": f"on {copying.PERIOD} alone",
    }
    tested = {"": copying.PERIOD, "other.": copying.OTHER}
    header = ["", *(f"{trained[model]}, tested on {tested[other]}" for model, other in columns), "trained on books"]
    out.table("Random tokens that occur twice, by the period, nats per token", header, rows)
    scores = copies[0]["many"]["scores"]
    roles = {head: role for role, heads in copies[0]["many"]["roles"].items() for head in heads}
    shown = [[head, f"{here:.2f}", f"{before:.2f}", roles.get(head, "")] for head, here, _, before in scores]
    title = "Heads of the model trained at several periods, first seed: mean attention to two places"
    header = ["head", "token after the previous occurrence", "token before", "role"]
    out.table(title, header, shown)
    claim_copies(out)


def _copy_values(measured: Mapping[str, Any]) -> dict[str, Value]:
    """Return the losses of a model, their differences, and its scores."""
    plain = ("by-place", "fed", "unfed")
    rows = {way: np.array(measured[way]) for way in measured if way not in ("scores", "roles", *plain)}
    values = {way: mean_of(nats) for way, nats in rows.items()}
    for other in ("", "other."):
        first, second = rows[f"{other}first"], rows[f"{other}second"]
        values[f"{other}gain"] = _difference(first - second)
        for way in WAYS[1:]:  # above zero where more than half of the gain is lost
            left = rows[f"{other}{way}.first"] - rows[f"{other}{way}"]
            values[f"{other}{way}.lost"] = _difference(0.5 * (first - second) - left)
    own = float((rows["first"] - rows["second"]).mean())
    values["moved.lost"] = _difference(0.5 * own - (rows["other.first"] - rows["other.second"]))
    values |= {key: Value(measured[key]) for key in plain}
    values |= {f"heads.{role}": Value(len(heads)) for role, heads in measured["roles"].items()}
    here, there = (max(each[at] for each in measured["scores"]) for at in (1, 2))
    return {**values, "score": Value(here), "other.score": Value(there)}


def _difference(gaps: np.ndarray) -> Value:
    compared = paired(gaps)
    return Value(compared.difference, *compared.interval)


def claim_copies(out: Findings) -> None:
    """Add the claims about copying, on values that `report_copies` adds."""
    out.claim("copies")
    out.claim("induction-heads-copy")
    out.claim("previous-heads-matter-too")
    out.claim("previous-heads-feed-them", high=copying.HIGH)
    out.claim("one-period-is-copied-by-position", high=copying.HIGH)
