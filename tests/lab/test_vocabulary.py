"""The experiment `vocabulary`: its claims follow the numbers, its models get equal compute."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lab.outcomes import concluded
from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.lab.experiments.config import VocabularyConfig
from scratchlm.lab.experiments.vocabulary.measure import TokenizedBooks, report, steps_of
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.shared.heldout import HeldOutBooks, token_places
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.simple import WordTokenizer

TEXT = "\n".join(storyworld.stories(60_000, seed=1))
CONFIG = VocabularyConfig(vocabulary_sizes=(256, 600, 900), depth=1)
TESTED = HeldOutBooks(["a" * 4094, "b" * 4094, "c" * 4094])


def data() -> TokenizedBooks:
    tokenizers: dict[str, Tokenizer] = {f"bpe-{size}": FastBPE.train([TEXT], size) for size in CONFIG.vocabulary_sizes}
    tokenizers |= {"wordpiece": tokenizers["bpe-600"], "unigram": tokenizers["bpe-600"]}
    tokenizers["words"] = WordTokenizer.train([TEXT], 599)
    return TokenizedBooks(TEXT, TESTED, TESTED, tokenizers, "bpe-600")


def held(inside: bool = True, **bits: float) -> set[str]:
    usual = {"bpe-256": 2.5, "bpe-600": 2.0, "bpe-900": 2.2, "wordpiece": 2.1, "unigram": 2.3, "words": 1.9}
    usual |= {"largest-text": 2.1}
    rest = {"steps": 1, "parameters": 1, "bytes_a_token": 1.0, "rare": 0.1, "factor": 1.0, "inside": inside}
    results = {key: {**rest, "blocks": blocks(bits.get(key.replace("-", "_"), usual[key]))} for key in usual}
    results["bpe-256"]["spelled"] = blocks(0.4)
    made = Findings()
    report(made, results, data(), CONFIG)
    outcome = concluded(made)
    assert outcome.values["words.bits_per_byte"].value == pytest.approx(bits.get("words", 1.9) + 0.4, abs=0.01)
    return {key for key, claim in outcome.claims.items() if claim.holds}


def blocks(bits: float) -> list[float]:
    """Return nats of the 24 blocks of the tested text."""
    return (512 * math.log(2) * (bits + 0.01 * np.sin(np.arange(24)))).tolist()


def test_its_claims_follow_bits_per_byte() -> None:
    whole = held()
    assert len(whole) == 6
    assert whole - held(bpe_256=1.9) == {"more-than-bytes"}
    assert whole - held(bpe_900=1.9) == {"too-many-tokens"}
    assert whole - held(largest_text=1.9) == {"too-many-tokens-at-equal-text"}
    assert whole - held(unigram=1.9) == {"bpe-beats-unigram"}
    assert whole - held(wordpiece=1.9) == {"bpe-beats-wordpiece"}
    assert whole - held(inside=False) == {"rates-are-inside"}


def test_a_larger_vocabulary_gets_fewer_steps_of_equal_compute() -> None:
    texts = data()
    small, middle, large = (steps_of(f"bpe-{size}", texts, CONFIG) for size in CONFIG.vocabulary_sizes)
    assert small > middle > large
    assert middle == steps_of("bpe-600", texts, CONFIG, equal_text=True)


def test_each_token_of_a_text_has_its_first_byte() -> None:
    words = WordTokenizer.train(["the cow and the cow"], 2)
    text = "the ö cow"
    places = token_places(words, text, np.array(words.encode(text)))
    assert places.tolist() == [0, 3, 6]


@pytest.mark.parametrize("sizes", [(256, 1024), (512, 1024, 2048), (256, 2048, 1024), (256, 300, 400), ()])
def test_sizes_that_make_no_curve_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"--vocabulary-sizes .*: give 256 \(bytes\), then two or more"):
        VocabularyConfig(vocabulary_sizes=sizes)
