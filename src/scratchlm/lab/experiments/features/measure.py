"""`experiment features`: which properties of a token linear probes can read from a model, and at which layer.

A probe is a logistic regression on the state of a token at one layer (Alain and Bengio 2016, arXiv 1610.01644). Two
models are probed: one of books, with labels made by rules, and one of the embedded stories, with labels by their
generator. A probe is tested on word types that it never saw, and against a control task. Its rivals are the current
token and its frequency, the last eight tokens, a hand-written rule, and a randomly initialised network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.data.prepared import open_data
from scratchlm.lab.experiments.config import FeaturesConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import above, below, every
from scratchlm.lab.shared.fine_tuned import STORY_BATCH, STORY_BYTES
from scratchlm.lab.shared.probe_labels import CONTEXTUAL, NAMES, SIMPLE, label_tokens, token_types
from scratchlm.lab.shared.probes import (
    CONTROLS,
    SIDES,
    Drawn,
    Features,
    ProbeText,
    centre_of,
    draw_tokens,
    random_labels,
    score_all,
    score_unseen,
    scored,
    states_at,
    wider,
    wider_gap,
)
from scratchlm.lab.shared.small_model import SmallModel, prepare_text, pretrain_small_model, text_size, write_texts
from scratchlm.lab.shared.story_labels import STORY, labelled_stories
from scratchlm.model.decoder import build_decoder

LAST = 8
"""Tokens that the n-gram baseline probe sees."""
DRAWN = 0
"""Seed of the windows, the tokens and the control tasks: the same ones for each seed of the networks."""
PROBED = 1000
"""Seed of the stories that are probed; the model is pretrained on those of another seed."""
NEAR = 0.02
"""Accuracy by which a probe may miss one half and still count as guessing."""
READERS = {
    "token": "current token",
    "frequency": "its frequency in training",
    "last": f"last {LAST} tokens",
    "vectors": f"last {LAST} tokens, as trained embeddings",
    "handmade": "hand-written rule",
    "untrained": "random weights, best layer",
    "learned": "trained, best layer",
}
Scores = dict[str, Any]
"""Of one property: scores of the test tokens by reader and by layer, and the book or story and the type of each."""


@dataclass
class Probed:
    """A small model, the text that its probes read, and the states of its tokens, each computed at first use."""

    small: SmallModel
    names: Mapping[str, str]
    read: Callable[[], dict[str, ProbeText]]
    tokens: int
    """Tokens that train a probe, at most."""

    @cached_property
    def sides(self) -> dict[str, ProbeText]:
        """The text of each side."""
        return self.read()

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """The tokens drawn for each property."""
        return {key: draw_tokens(self.sides, key, self.tokens, DRAWN) for key in self.names}

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """The places of all drawn tokens of each side, in ascending order."""
        return {side: np.unique(np.concatenate([each.places[side] for each in self.drawn.values()])) for side in SIDES}

    @cached_property
    def frequencies(self) -> np.ndarray:
        """The logarithm of one more than how often each token occurs in training, shape (V,)."""
        _, train, _ = open_data(self.small.data)
        return np.log1p(np.bincount(train.read(0, len(train)), minlength=self.small.shape.vocabulary_size))

    @cached_property
    def states(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """States of the random and the trained network at these places, by layer and side."""
        # With zero-initialised branches every layer would equal the one before it.
        untrained = build_decoder(replace(self.small.shape, zero_init_outputs=False), self.small.seed)
        layers = {}
        for reader, decoder in (("untrained", untrained), ("learned", self.small.pretrained().decoder)):
            of = [states_at(decoder, self.sides[side].ids, self.places[side]) for side in SIDES]
            layers[reader] = [dict(zip(SIDES, layer, strict=True)) for layer in zip(*of, strict=True)]
        return layers

    def layers(self, reader: str, key: str) -> list[Features]:
        """Return the states of the tokens drawn for one property, by layer."""
        at = {side: np.searchsorted(self.places[side], self.drawn[key].places[side]) for side in SIDES}
        return [{side: layer[side][at[side]] for side in SIDES} for layer in self.states[reader]]


def run(config: FeaturesConfig, steps: Steps, out: Findings) -> None:
    """Probe each layer of both models for each property."""
    scores: dict[str, Scores] = {}
    for pretrained in (probed_books, probed_stories):
        probed = pretrained(config, steps)
        for key in probed.names:
            rivals = steps.shared.once(f"{key}, without a network", score_rivals, probed, key)
            scores[key] = {**rivals, **steps.once(key, score_networks, probed, key)}
    report(out, scores)
    out.notes += [
        "scores are balanced accuracies: guessing is right for one half; if not said otherwise, on word types, or "
        "people, that the probe never saw",
        "intervals are clustered by book or story, or by word type, whichever is wider",
        "the best layer is selected on validation text, apart from training and test text",
        "the model need not use what a probe can read from a layer",
    ]


def probed_books(config: FeaturesConfig, steps: Steps) -> Probed:
    """Pretrain the model of books; its probes learn from the model's training text and are tested on other books."""
    size = text_size(config.pretraining_steps)
    data = prepare_text(config.books, size, config.vocabulary_size, steps.shared)
    small = pretrain_small_model(data, config.pretraining_steps, config.seed, steps)
    return Probed(small, NAMES, lambda: book_windows(small, config.windows), config.tokens)


def probed_stories(config: FeaturesConfig, steps: Steps) -> Probed:
    """Pretrain the model of stories; its probes learn from new stories and are tested on others."""
    source = steps.shared.folder / "stories.jsonl"
    if not source.exists():
        texts = storyworld.stories(max(200_000, STORY_BYTES * config.story_steps), DRAWN)
        write_texts(steps.shared.file(source.name), texts)
    data = prepare_text(source, source.stat().st_size, config.story_vocabulary, steps.shared, "story-text")
    name = "pretrained-on-stories"
    small = pretrain_small_model(data, config.story_steps, config.seed, steps, name, **STORY_BATCH)
    return Probed(small, STORY, lambda: story_rows(small, config.stories), config.tokens)


def book_windows(small: SmallModel, count: int) -> dict[str, ProbeText]:
    """Return windows of books for each side, with labels in the second half of each window."""
    tokenizer, train, held_out = open_data(small.data)
    draw, length = np.random.default_rng(DRAWN), small.shape.context
    specials = set(tokenizer.specials.values())
    ids = range(tokenizer.vocabulary_size)
    pieces = {id: b"\n\n" if id in specials else tokenizer.token_bytes(id) or b" " for id in ids}
    types = token_types(pieces)
    texts = {}
    for tokens, sides in ((train, {"learn": count, "choose": count // 4}), (held_out, {"test": count // 2})):
        text = tokens.read(0, len(tokens)).astype(np.int64)
        labels_of = label_tokens([pieces[int(id)] for id in text])
        most, needed = len(text) // length, sum(sides.values())
        if most < needed:
            raise UserError(f"--windows {count}: the text has only {most} windows, and {needed} are needed")
        places = draw.permutation(most)  # one permutation, so that no window is in two sides
        for side, wanted in sides.items():
            starts, places = length * np.sort(places[:wanted]), places[wanted:]
            rows = np.stack([text[at : at + length] for at in starts])
            of_all = [label_tokens([pieces[int(id)] for id in row]) for row in rows]
            probed = np.tile(np.arange(length) >= length // 2, len(rows))  # with context before it in the window
            inside = (starts[:, None] + np.arange(length)).ravel()
            labels = {key: np.where(probed, labels_of[key][inside], -1) for key in NAMES}
            rules = {key: np.concatenate([each[key] for each in of_all]) for key in NAMES}
            books = np.searchsorted(np.flatnonzero(text == tokenizer.end_of_text), inside)
            texts[side] = ProbeText(rows, books, labels, dict.fromkeys(NAMES, types[rows.ravel()]), rules)
    return texts


def story_rows(small: SmallModel, count: int) -> dict[str, ProbeText]:
    """Return new stories for each side, one a row after an end-of-text token, with labels where words end."""
    tokenizer, length = small.tokenizer, STORY_BATCH["sequence_length"]
    assert tokenizer.end_of_text is not None
    wanted = {"learn": count, "choose": count // 4, "test": count // 2}
    labelled = labelled_stories(sum(wanted.values()), PROBED)
    texts = {}
    for side, stories in wanted.items():
        rows = np.full((stories, length), tokenizer.end_of_text, np.int64)
        labels = {key: np.full(rows.shape, -1, np.int64) for key in STORY}
        rules = {key: np.zeros(rows.shape, np.int64) for key in STORY}
        types = {key: np.full(rows.shape, "", object) for key in STORY}
        for row, story in zip(range(stories), labelled, strict=False):
            ids = tokenizer.encode(story.text)[: length - 1]
            rows[row, 1 : 1 + len(ids)] = ids
            ends = np.cumsum([len(tokenizer.token_bytes(id) or b"") for id in ids]).tolist()
            at = {end: 1 + place for place, end in enumerate(ends)}
            for key, marks in story.marks.items():
                for mark in marks:
                    if (place := at.get(mark.end)) is not None:
                        labels[key][row, place], rules[key][row, place] = mark.label, mark.rule
                        types[key][row, place] = mark.type
        flat = [{key: each[key].ravel() for key in STORY} for each in (labels, types, rules)]
        texts[side] = ProbeText(rows, np.repeat(np.arange(stories), length), *flat)
    return texts


def score_rivals(probed: Probed, key: str) -> Scores:
    """Score what needs no network: probes on the current token, its frequency, the last ones, and the written rule."""
    drawn, sides = probed.drawn[key], probed.sides
    rivals = {"handmade": scored(drawn.rules == drawn.labels["test"], drawn.labels["test"])}
    for reader, count in (("token", 1), ("last", LAST)):
        features = {side: sides[side].last_tokens(drawn.places[side], count) for side in SIDES}
        rivals[reader] = score_unseen(features, drawn.labels, drawn.parts)[0]
    features = {side: probed.frequencies[sides[side].last_tokens(drawn.places[side], 1)] for side in SIDES}
    rivals["frequency"] = score_unseen(features, drawn.labels, drawn.parts)[0]
    of = [[str(each) for each in named.tolist()] for named in (drawn.groups, drawn.types["test"])]
    return {"group": of[0], "type": of[1], "rivals": {name: each.tolist() for name, each in rivals.items()}}


def score_networks(probed: Probed, key: str) -> Scores:
    """Score probes on each layer of the random and the trained network: unseen types, all types, control tasks."""
    drawn = probed.drawn[key]
    results: Scores = {"layers": {}, "best": {}}
    for reader in ("untrained", "learned"):
        scores = [score_unseen(layer, drawn.labels, drawn.parts) for layer in probed.layers(reader, key)]
        results["layers"][reader] = [each.tolist() for each, _ in scores]
        results["best"][reader] = int(np.argmax([valid for _, valid in scores]))
    layers = probed.layers("learned", key)
    controls = [random_labels(drawn, number) for number in range(CONTROLS)]
    results["seen"] = [score_all(layer, drawn.labels)[0].tolist() for layer in layers]
    results["control"] = [
        np.mean([score_all(layer, labels)[0] for labels in controls], axis=0).tolist() for layer in layers
    ]
    best = layers[results["best"]["learned"]]
    unseen = [score_unseen(best, labels, drawn.parts)[0] for labels in controls]
    results["chance"] = np.mean(unseen, axis=0).tolist()
    if key not in SIMPLE:
        table = probed.small.pretrained().decoder.embedding.weight.detach().numpy()
        ids = {side: probed.sides[side].last_tokens(drawn.places[side], LAST) for side in SIDES}
        vectors = {side: table[each].reshape(len(each), -1) for side, each in ids.items()}
        results["vectors"] = score_unseen(vectors, drawn.labels, drawn.parts)[0].tolist()
    return results


def report(out: Findings, scores: Mapping[str, Scores]) -> None:
    """Report the accuracy of every probe at every layer, and add the claims."""
    for key, each in scores.items():
        _measure(out, key, each)
    depth = len(next(iter(scores.values()))["seen"])
    for title, names in (("Books, labels made by rules", NAMES), ("Stories, labels by their generator", STORY)):
        rows: list[Row] = [
            [says, *(Cell(f"{key}.{reader}", ".1%") for reader in READERS)] for key, says in names.items()
        ]
        out.table(f"{title}: accuracy on types that the probe never saw", ["the token", *READERS.values()], rows)
    both = {**NAMES, **STORY}
    keys = ("control", "selectivity", "seen", "learned", "control-unseen")
    rows = [[says, *(Cell(f"{key}.{name}", ".1%") for name in keys)] for key, says in both.items()]
    header = ["the token", "control task", "selectivity", "all types", "unseen types", "control task, unseen types"]
    out.table("Control tasks and unseen types, best layer of the trained model", header, rows)
    rows = [
        [says, *(Cell(f"{key}.layer{at}", ".1%", False) for at in range(depth)), Cell(f"{key}.centre", ".2f")]
        for key, says in both.items()
    ]
    header = ["the token", "embedding", *(f"layer {at}" for at in range(1, depth)), "centre of gravity"]
    out.table("Accuracy by layer of the trained model, unseen types", header, rows)
    out.dots(
        "Best layer of the trained model, types that the probe never saw", "accuracy",
        {says: f"{key}.learned" for key, says in both.items()}, levels={"guessing": 0.5},
    )  # fmt: skip
    curves = {"trained, unseen types": "layer", "trained, all types": "seen", "control task, all types": "control",
              "random weights, unseen types": "random"}  # fmt: skip
    for key, says in both.items():
        lines = {
            name: (list(range(depth)), [f"{key}.{kind}{at}" for at in range(depth)]) for name, kind in curves.items()
        }
        levels: dict[str, float | str] = {
            "guessing": 0.5,
            "hand-written rule": f"{key}.handmade",
            f"last {LAST} tokens": f"{key}.last",
        }
        where = "Books" if key in NAMES else "Stories"
        out.curves(f"{where}: the token {says}", "layer", "accuracy", lines, levels=levels)
    _claim_books(out, scores)
    _claim_stories(out, scores)
    _claim_controls(out, scores)


def _measure(out: Findings, key: str, each: Scores) -> None:
    """Add the values of one property."""
    clusters, values, readers = (each["group"], each["type"]), out.values, readers_of(each)
    for name in (*(reader for reader in READERS if reader in readers), "seen", "control", "control-unseen"):
        values[f"{key}.{name}"] = wider(readers[name], *clusters)
    for kind, layers in (("layer", each["layers"]["learned"]), ("random", each["layers"]["untrained"]),
                         ("seen", each["seen"]), ("control", each["control"])):  # fmt: skip
        values |= {f"{key}.{kind}{at}": wider(scores, *clusters) for at, scores in enumerate(layers)}
    for name, reader in (("centre", "learned"), ("centre-random", "untrained")):
        values[f"{key}.{name}"] = centre_of(each["layers"][reader], *clusters)


def readers_of(each: Scores) -> dict[str, Sequence[float]]:
    """Return the scores of the test tokens by reader; of a network those of its best layer, or of its embedding."""
    layers, best = each["layers"], each["best"]
    readers = {reader: layers[reader][best[reader]] for reader in ("untrained", "learned")}
    readers |= {"embedding": layers["learned"][0], "random-embedding": layers["untrained"][0]}
    readers |= {name: each[name][best["learned"]] for name in ("seen", "control")}
    if "vectors" in each:
        readers["vectors"] = each["vectors"]
    return {**each["rivals"], **readers, "control-unseen": each["chance"]}


def _leads(out: Findings, each: Scores, key: str, one: str, *others: str) -> str:
    """Add how far a reader of a property is ahead of others; return the test that it is ahead of all of them."""
    readers, tests = readers_of(each), []
    for other in others:
        compared = wider_gap(np.subtract(readers[one], readers[other]), each["group"], each["type"])
        name = "selectivity" if (one, other) == ("seen", "control") else f"{one}.over.{other}"
        tests.append(out.gain(f"{key}.{name}", compared))
    return every(*tests)


def _claim_books(out: Findings, scores: Mapping[str, Scores]) -> None:
    for key in SIMPLE:
        name = NAMES[key]
        test = _leads(out, scores[key], key, "embedding", "random-embedding", "frequency")
        out.claim(f"{key}-in-vectors", test, entry="in-vectors", name=name)
        out.claim(f"{key}-first", below(f"{key}.centre", 1.0), entry="first", name=name)
    for key in CONTEXTUAL:
        each, name = scores[key], NAMES[key]
        out.claim(
            f"{key}-needs-layers", _leads(out, each, key, "learned", "embedding"), entry="needs-layers", name=name
        )
        out.claim(f"{key}-later", above(f"{key}.centre", 1.0), entry="later", name=name)
        _claim_learned(out, each, key, f"Books: {name}")
        _leads(out, each, key, "handmade", "learned")


def _claim_learned(out: Findings, each: Scores, key: str, name: str) -> None:
    """Add the claims that training made a property readable, and more so than the nearest tokens do."""
    out.claim(f"{key}-learned", _leads(out, each, key, "learned", "untrained"), entry="learned", name=name)
    test = _leads(out, each, key, "learned", "last", "vectors")
    out.claim(f"{key}-beats-last", test, entry="beats-last", name=name, last=LAST)


def _claim_stories(out: Findings, scores: Mapping[str, Scores]) -> None:
    for key, name in STORY.items():
        _claim_learned(out, scores[key], key, f"Stories: {name}")
        test = _leads(out, scores[key], key, "learned", "handmade")
        out.claim(f"{key}-beats-rule", test, entry="beats-rule", name=name)


def _claim_controls(out: Findings, results: Mapping[str, Scores]) -> None:
    for key, each in results.items():
        test = _leads(out, each, key, "seen", "control")
        if key in (*SIMPLE, "word-noun", "woman"):
            out.claim(f"{key}-selective", test, entry="selective", name={**NAMES, **STORY}[key])
    scores = [score for each in results.values() for score in each["chance"]]
    types = [f"{key} {name}" for key, each in results.items() for name in each["type"]]
    out.values["control-unseen.mean"] = wider(scores, types)
    inside = every(above("control-unseen.mean", 0.5 - NEAR), below("control-unseen.mean", 0.5 + NEAR))
    out.claim("control-at-chance", inside, near=NEAR)
