"""Unknown words spelled by a model of bytes: what is summed, and that it is a code length."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.lab.shared.spelling import Span, byte_losses, ending_ids, known_word_mass, unknown_spans
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.tokens.simple import CharacterTokenizer, WordTokenizer
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

BYTES = byte_tokenizer()
WORDS = WordTokenizer.train(["the cat sat. the  cat sat, the cat sat!\n"])
TEXT = "the zebra sat, the naïve” cat § x_1 sat"


@pytest.fixture
def model() -> Decoder:
    return random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY))


def spelled(span: Span) -> tuple[str, str, bool]:
    data = TEXT.encode()
    return data[span.start : span.stop].decode(), data[span.stop : span.end_stop].decode(), span.ends


def test_spans_hold_the_unknown_words_and_how_each_ends() -> None:
    assert [spelled(span) for span in unknown_spans(WORDS, TEXT)] == [
        (" zebra", "", True),
        (" naïve", "”", False),  # what follows is no ASCII character, so all its bytes are charged
        ("”", "", False),  # a mark ends by itself
        (" §", "", False),
        (" x_1", "", True),
    ]
    assert unknown_spans(WORDS, "the cat") == []
    assert [(span.ends, span.end_stop) for span in unknown_spans(WORDS, "the zebra")] == [(False, 9)]  # ends the text


def test_unknown_characters_end_by_themselves() -> None:
    characters = CharacterTokenizer.train(["the cat sat"], unknown=True)
    assert unknown_spans(characters, "cät z") == [Span(1, 3, 3, False), Span(5, 6, 6, False)]


def test_the_bytes_that_end_a_word_are_all_ascii_bytes_outside_of_words() -> None:
    ending = {BYTES.token_bytes(id).decode() for id in ending_ids(BYTES).tolist()}
    assert ending == {chr(code) for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}


def probabilities(model: Decoder, ids: list[int]) -> torch.Tensor:
    """Return the distribution of the id after a text, which begins with the end-of-text id."""
    with torch.no_grad():
        return model(torch.tensor([[BYTES.end_of_text, *ids]]))[0, -1].double().softmax(-1)


def test_a_span_takes_the_bytes_of_the_word_and_the_chance_that_it_ends(model: Decoder) -> None:
    text = "the zebra sat"
    ids = BYTES.encode(text)
    (span,) = unknown_spans(WORDS, text)
    product = 1.0
    for place in range(span.start, span.stop):
        product *= float(probabilities(model, ids[:place])[ids[place]])
    product *= float(probabilities(model, ids[: span.stop])[ending_ids(BYTES)].sum())
    found = byte_losses(model, BYTES, np.array(ids)).of([span])
    assert found[0] == pytest.approx(-math.log(product), rel=1e-5)
    open_end = Span(span.start, span.stop, span.stop + 1, False)
    assert byte_losses(model, BYTES, np.array(ids)).of([open_end])[0] > found[0]  # which byte ends it says more


def test_a_span_beyond_the_context_is_scored_with_at_least_half_of_it(model: Decoder) -> None:
    text = "the cat sat. " * 6 + "zebra sat"
    ids = BYTES.encode(text)
    losses = byte_losses(model, BYTES, np.array(ids))
    assert len(losses.nats) == len(losses.end_nats) == len(ids)
    half = model.config.context // 2
    start = -(-(len(ids) - model.config.context) // half) * half  # of the window that scores the last byte
    with torch.no_grad():
        last = model(torch.tensor([ids[start - 1 : -1]]))[0, -1].log_softmax(-1)[ids[-1]]
    assert losses.nats[-1] == pytest.approx(-float(last), rel=1e-5)


def test_the_mass_of_known_words_is_the_sum_of_their_probabilities(model: Decoder) -> None:
    before = BYTES.encode("the cat")
    enders, total = ending_ids(BYTES), 0.0
    for id in range(WORDS.vocabulary_size - len(WORDS.specials)):
        if id == WORDS.unknown:
            continue
        word, ids, product = WORDS.token_bytes(id).decode(), list(before), 1.0
        if word == " ":
            continue  # the beginning of other words
        for byte in BYTES.encode(word):
            product *= float(probabilities(model, ids)[byte])
            ids.append(byte)
        if word[-1].isalpha():
            product *= float(probabilities(model, ids)[enders].sum())
        total += product
    found = known_word_mass(model, BYTES, before, WORDS)
    assert found == pytest.approx(total, rel=1e-4)
    assert 0 < found < 1


def test_known_words_of_a_model_that_learned_them_take_nearly_all_probability_and_never_more() -> None:
    text = "the cat sat. the  cat sat, the cat sat!\n" * 40
    ids = np.array(BYTES.encode(text))
    model = build_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY), 0)
    training = TrainingConfig(steps=80, optimizer=MuonConfig(adam=AdamWConfig(learning_rate=0.02)))
    fit(Loop(model, WindowBatches(ArrayTokens(ids), 4, 24, 0), training))
    for before in ("the cat", "the cat sat.", "the cat sat,", "\n"):
        known = known_word_mass(model, BYTES, BYTES.encode(before), WORDS)
        assert 0.5 < known <= 1.0
        (span,) = unknown_spans(WORDS, f"{before} zebra sat")
        unknown = math.exp(-byte_losses(model, BYTES, np.array(BYTES.encode(f"{before} zebra sat"))).of([span])[0])
        assert unknown + known <= 1.0
