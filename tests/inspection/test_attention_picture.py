"""Heads are scored by what they look at, and the picture shows every head's weights."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
import torch

from scratchlm.inspection.drawing import Enlarged, attention_picture
from scratchlm.inspection.heads import all_heads
from scratchlm.inspection.patterns import (
    AGAIN,
    FIRST,
    INDUCTION,
    PREVIOUS,
    SAME,
    best_head,
    name_heads,
    pattern_scores,
    uniform_score,
)
from scratchlm.inspection.trace import attention_maps
from scratchlm.model.decoder import Decoder
from toys import random_decoder, random_ids, toy_config

SVG = "{http://www.w3.org/2000/svg}"


def toy() -> Decoder:
    return random_decoder(toy_config("default"))


def test_the_scores_are_the_mean_attention_at_the_places_of_each_pattern() -> None:
    decoder, ids = toy(), random_ids(5, 8)
    scores = pattern_scores(decoder, ids, rows=2)
    maps = attention_maps(decoder, torch.cat([ids, ids], 1))
    for layer, head in all_heads(decoder):
        of = maps[layer][:, head]
        expected = {
            FIRST: torch.stack([of[:, q, 0] for q in range(2, 8)]),
            PREVIOUS: torch.stack([of[:, q, q - 1] for q in range(2, 8)]),
            SAME: torch.stack([of[:, q, q - 8] for q in range(9, 16)]),
            INDUCTION: torch.stack([of[:, q, q - 7] for q in range(9, 16)]),
            AGAIN: torch.stack([of[:, q, 0] for q in range(9, 16)]),
        }
        for pattern, weights in expected.items():
            assert float(scores[pattern][layer, head]) == pytest.approx(float(weights.mean()), abs=1e-5)


def test_equal_attention_has_the_uniform_score() -> None:
    decoder = toy()
    with torch.no_grad():
        for block in decoder.blocks:
            block.attention.query.weight.zero_()  # type: ignore[union-attr, operator]
    scores = pattern_scores(decoder, random_ids(2, 8))
    expected = pytest.approx(uniform_score(8), abs=1e-5)
    assert scores[FIRST].flatten().tolist() == [expected] * scores[FIRST].numel()
    assert scores[PREVIOUS].flatten().tolist() == [expected] * scores[FIRST].numel()


def test_a_head_takes_the_name_of_its_rarest_pattern() -> None:
    scores = {name: torch.zeros(2, 2) for name in (FIRST, PREVIOUS, SAME, INDUCTION)}
    scores[FIRST] += 0.6
    scores[INDUCTION][1, 0], scores[PREVIOUS][0, 1], scores[SAME][1, 1] = 0.9, 0.51, 0.5
    assert name_heads(scores) == {(0, 0): FIRST, (0, 1): PREVIOUS, (1, 0): INDUCTION, (1, 1): FIRST}
    head, score = best_head(scores, INDUCTION)
    assert head == (1, 0)
    assert score == pytest.approx(0.9)


def test_the_picture_shows_every_head_and_every_weight() -> None:
    decoder, ids = toy(), random_ids(1, 7)
    maps = [layer[0] for layer in attention_maps(decoder, ids)]
    for weights in maps:
        assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:2]), atol=1e-5)
    names = {(0, 1): PREVIOUS, (1, 0): INDUCTION}
    counts = {PREVIOUS: 3, INDUCTION: 1}
    large = [Enlarged((1, 0), INDUCTION, "40% of its attention")]
    tokens = [f"<t{number}>" for number in range(7)]
    tree = ElementTree.fromstring(attention_picture(maps, tokens, names, counts, large, "A & b", ["one", "two"]))
    drawn = [each for each in tree.iter(f"{SVG}g") if "data-head" in each.attrib]
    heads = [f"{layer + 1}.{head + 1}" for layer, head in all_heads(decoder)]
    assert [each.attrib["data-head"] for each in drawn] == ["2.1", *heads]
    for each in drawn:
        layer, head = (int(part) - 1 for part in each.attrib["data-head"].split("."))
        shown = torch.zeros(7, 7)
        for path in each.iter(f"{SVG}path"):
            level = int(path.attrib["class"].removeprefix("l"))
            for key, query, wide in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.attrib["d"]):
                assert shown[int(query), int(key) : int(key) + int(wide)].sum() == 0
                shown[int(query), int(key) : int(key) + int(wide)] = level
        weights = maps[layer][head]
        expected = torch.where(weights >= 0.05, (5 * weights - 1e-6).ceil(), 0.0)
        assert torch.equal(shown, expected)
        assert (each.attrib["stroke"] == "var(--none)") == ((layer, head) not in names)
    words = ["".join(each.itertext()) for each in tree.iter(f"{SVG}text")]
    assert f"{PREVIOUS}: looks at the token just before (3 heads, 2 of them in the colour of a rarer pattern)" in words
    assert {"A & b", "one", "two", f"head 2.1: {INDUCTION}", "40% of its attention", *tokens} <= set(words)
