"""One interface, two encoders: readable and fast give the same ids, and keep the contract of `Tokenizer`."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import DEFAULT_SPECIALS, Tokenizer, number_specials
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import PATTERNS
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scripts import SCRIPTS, fuzz

ASSIGNED = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cn")), max_size=40)


@cache
def pair(name: str = "qwen2") -> tuple[FastBPE, ReadableBPE]:
    texts = [*SCRIPTS.values(), *fuzz(300, seed=5)]
    quick = FastBPE.train(texts, 1_000, PATTERNS[name])
    return quick, ReadableBPE(quick.vocabulary)


both = pytest.mark.parametrize("tokenizer", pair(), ids=["fast", "readable"])


@pytest.mark.parametrize("name", PATTERNS)
def test_both_encoders_give_the_same_ids_on_fuzzed_text(name: str, fuzzed: list[str]) -> None:
    quick, readable = pair(name)
    for text in fuzzed[:4_000]:
        ids = quick.encode(text)
        assert readable.encode(text) == ids, text
        assert quick.decode(ids) == text


@pytest.mark.parametrize("name", PATTERNS)
@settings(deadline=None, max_examples=200, database=None, derandomize=True)
@given(text=ASSIGNED)
def test_both_encoders_agree_and_round_trip_on_any_text(name: str, text: str) -> None:
    quick, readable = pair(name)
    ids = quick.encode(text)
    assert readable.encode(text) == ids
    assert quick.decode(ids) == readable.decode(ids) == text
    assert max(ids, default=0) < 1_000


@both
@given(text=st.text(max_size=40))
@settings(deadline=None, max_examples=200, database=None, derandomize=True)
def test_any_unicode_round_trips_even_what_is_unassigned(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@both
def test_specials_follow_the_ordinary_ids_and_no_text_reaches_them(tokenizer: Tokenizer) -> None:
    assert dict(tokenizer.specials) == {name: 1_000 + place for place, name in enumerate(DEFAULT_SPECIALS)}
    assert tokenizer.vocabulary_size == 1_004
    assert tokenizer.end_of_text == 1_000
    text = "".join(DEFAULT_SPECIALS) * 3
    ids = tokenizer.encode(text)
    assert max(ids) < 1_000
    assert tokenizer.decode(ids) == text
    assert max(max(row) for row in tokenizer.encode_batch([text, *DEFAULT_SPECIALS])) < 1_000
    assert tokenizer.decode([1_001, *tokenizer.encode("hi"), 1_002]) == "<|im_start|>hi<|im_end|>"


def test_a_tokenizer_without_specials_works() -> None:
    bare = FastBPE.train(["hello hello"], 260, specials=())
    assert bare.vocabulary_size == 260
    assert bare.end_of_text is None
    assert bare.encode_batch(["hello <|none|>"])[0].tolist() == bare.encode("hello <|none|>")
    assert bare.decode(bare.encode("hello <|none|>")) == "hello <|none|>"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_batch_equals_one_text_after_the_other_on_any_number_of_threads(threads: int, fuzzed: list[str]) -> None:
    quick, readable = pair()
    long = "\n".join(SCRIPTS.values()) * 900
    texts = [*fuzzed[:500], "", long, " " * 150_000, long[5:] + "'s", ""]
    rows = quick.encode_batch(texts, threads)
    assert [row.tolist() for row in rows] == [quick.encode(text) for text in texts]
    assert {row.dtype for row in rows} == {np.dtype(np.uint32)}
    if threads == 1:
        short = texts[:50]
        assert [row.tolist() for row in readable.encode_batch(short)] == [readable.encode(text) for text in short]


@pytest.mark.parametrize("kind", [" ", "a", "7", "!", "你", " \n", "\u0301", "\U0001f600"])
def test_a_million_characters_of_one_kind_neither_panic_nor_differ(kind: str) -> None:
    quick, readable = pair()
    text = "x" + kind * (1_000_003 // len(kind)) + "y"
    assert quick.decode_bytes(quick.encode_batch([text])[0]) == text.encode()
    text = "x" + kind * (220_001 // len(kind)) + "y"
    ids = quick.encode(text)
    assert ids == readable.encode(text)
    assert ids == quick.encode_batch([text])[0].tolist()


def test_runs_are_cut_even_where_that_changes_the_ids() -> None:
    quick = FastBPE.train(["z" * 1_000], 264)  # tokens of 2, 4, ... 256 letters; 64 does not divide 100,000
    text = "z" * 250_000
    ids = [id for length in (100_000, 100_000, 50_000) for id in quick.encode("z" * length)]
    assert quick.encode(text) == ids
    assert ReadableBPE(quick.vocabulary).encode(text) == ids
    assert len(ids) > -(-250_000 // 256) + 3


@both
@pytest.mark.parametrize("text", ["\ud800", "ab\udc00cd", "\ud83d\ude00"])
def test_a_lone_surrogate_is_a_clear_error(tokenizer: Tokenizer, text: str) -> None:
    for encode in (tokenizer.encode, lambda text: tokenizer.encode_batch([text])):
        with pytest.raises(UserError, match=r"lone surrogate U\+D"):
            encode(text)


@both
@given(ids=st.lists(st.integers(0, 1_003), max_size=30))
@settings(deadline=None, max_examples=100, database=None, derandomize=True)
def test_any_ids_decode_to_the_bytes_of_each(tokenizer: Tokenizer, ids: list[int]) -> None:
    data = tokenizer.decode_bytes(ids)
    assert data == b"".join(tokenizer.token_bytes(id) for id in ids)
    assert tokenizer.decode_bytes(np.array(ids, dtype=np.uint16)) == data
    assert tokenizer.decode(ids) == data.decode("utf-8", errors="replace")


def test_half_a_character_decodes_to_the_replacement_character() -> None:
    assert pair()[0].decode([0xE4, 0xBD]) == "\ufffd"


@both
@pytest.mark.parametrize("id", [-1, 1_004, 10**9])
def test_an_id_outside_the_vocabulary_is_named_with_the_limit(tokenizer: Tokenizer, id: int) -> None:
    with pytest.raises(UserError, match=f"token id {id}: the vocabulary has ids 0 to 1003"):
        tokenizer.decode([5, id])


def test_fingerprints_distinguish_tokenizers() -> None:
    texts = list(SCRIPTS.values())
    prints = [
        FastBPE.train(texts, 400).fingerprint,
        FastBPE.train(texts, 401).fingerprint,
        FastBPE.train(texts, 400, PATTERNS["cl100k"]).fingerprint,
        FastBPE.train(texts, 400, specials=("<|endoftext|>",)).fingerprint,
        FastBPE.train(texts[::-1] + ["zq zq zq"] * 9, 400).fingerprint,
    ]
    vocabulary = pair()[0].vocabulary
    specials = dict(vocabulary.specials)
    changes = ({"pattern": PATTERNS["gpt2"]}, {"added": {"  ": 1_100}}, {"normalization": "NFC"})
    prints += [replace(vocabulary, **change).fingerprint for change in changes]  # type: ignore[arg-type]
    prints.append(vocabulary.fingerprint)
    assert replace(vocabulary, specials=dict(reversed(specials.items()))).fingerprint == vocabulary.fingerprint
    assert len(set(prints)) == len(prints)
    assert all(len(bytes.fromhex(one)) == 32 for one in prints)
    assert prints[0] == FastBPE.train(texts, 400).fingerprint == ReadableBPE.train(texts, 400).fingerprint


@both
def test_a_tokenizer_can_be_pickled_for_another_process(tokenizer: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode(SCRIPTS["hindi"]) == tokenizer.encode(SCRIPTS["hindi"])
    assert again.fingerprint == tokenizer.fingerprint


def test_bad_specials_and_threads_are_refused() -> None:
    with pytest.raises(UserError, match="'aa': the text is an ordinary token too"):
        FastBPE.train(["aa aa"], 257, specials=("aa",))
    with pytest.raises(UserError, match="its id 7 is taken"):
        FastBPE(BytePairVocabulary(pair()[0].vocabulary.tokens, PATTERNS["qwen2"], {"<|a|>": 7}))
    with pytest.raises(UserError, match="occurs twice"):
        number_specials(300, ("<|a|>", "<|a|>"))
    with pytest.raises(UserError, match="--threads 0: at least 1"):
        pair()[0].encode_batch(["text"], threads=0)
