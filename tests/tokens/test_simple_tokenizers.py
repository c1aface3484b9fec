"""Characters and words: tiny, exact on what they know, clear about what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.simple import UNKNOWN, CharacterTokenizer, WordTokenizer
from scripts import SCRIPTS, fuzz


def test_characters_get_ids_in_the_order_of_their_code_points() -> None:
    tokenizer = CharacterTokenizer.train(["bad", "cab"])
    assert tokenizer.encode("abcd") == [0, 1, 2, 3]
    assert tokenizer.vocabulary_size == 8
    assert tokenizer.end_of_text == 4
    assert tokenizer.decode([3, 0, 1]) == "dab"


def test_words_get_ids_by_frequency_then_alphabet() -> None:
    tokenizer = WordTokenizer.train(["the cat, the dog, the end"])
    assert [tokenizer.token_bytes(id).decode() for id in range(6)] == [" the", ",", " cat", " dog", " end", "the"]
    assert tokenizer.encode("the dog, the") == [5, 3, 1, 0]


@pytest.mark.parametrize("kind", [CharacterTokenizer, WordTokenizer])
def test_text_of_known_symbols_round_trips(kind: type[CharacterTokenizer] | type[WordTokenizer]) -> None:
    texts = [*SCRIPTS.values(), *fuzz(500, seed=6)]
    tokenizer = kind.train(texts, unknown=False)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert [row.tolist() for row in tokenizer.encode_batch(texts)] == [tokenizer.encode(text) for text in texts]


def test_an_unknown_symbol_is_named_with_its_place_and_remedies() -> None:
    with pytest.raises(UserError, match=r"'ß' at character 2: not one of the 26 symbols .*leave it out.*byte-level"):
        CharacterTokenizer.train(["abcdefghijklmnopqrstuvwxyz"]).encode("maß")
    with pytest.raises(UserError, match="' ox' at character 3"):
        WordTokenizer.train(["the cow"], unknown=False).encode("the ox")


def test_unknown_symbols_become_one_ordinary_token_where_asked() -> None:
    tokenizer = WordTokenizer.train(["the cow and the cow"], vocabulary_size=2)
    ids = tokenizer.encode("the ox and the cow")
    assert tokenizer.decode(ids) == f"{UNKNOWN}{UNKNOWN} and{UNKNOWN} cow"
    assert max(ids) < min(tokenizer.specials.values())
    assert tokenizer.encode("<|endoftext|>") == [tokenizer.encode("?")[0]] * 5  # <, |, endoftext, |, >


def test_special_strings_are_ordinary_characters() -> None:
    tokenizer = CharacterTokenizer.train(["<|endoftext|> <|unk|>"], unknown=True)
    ids = tokenizer.encode("<|endoftext|><|unk|>")
    assert len(ids) == 20
    assert max(ids) < tokenizer.encode("ß")[0] < min(tokenizer.specials.values())


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("kind", [CharacterTokenizer, WordTokenizer])
def test_saved_simple_tokenizers_load_equal_here_and_in_tokenizers(
    kind: type[CharacterTokenizer] | type[WordTokenizer], unknown: bool, tmp_path: Path
) -> None:
    texts = [*SCRIPTS.values(), *fuzz(300, seed=7)]
    tokenizer = kind.train(texts, unknown=unknown)
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    other = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    other.encode_special_tokens = True
    assert again.fingerprint == tokenizer.fingerprint
    assert dict(again.specials) == tokenizer.specials
    for text in [*texts, *(fuzz(100, seed=8) if unknown else [])]:
        ids = tokenizer.encode(text)
        assert again.encode(text) == ids
        assert other.encode(text, add_special_tokens=False).ids == ids
        assert other.decode(ids, skip_special_tokens=False) == tokenizer.decode(ids)
    if not unknown:
        with pytest.raises(Exception, match="UNK"):
            other.encode("\U0001fabf")


def test_nothing_to_learn_from_and_surrogates_are_refused() -> None:
    for kind in (CharacterTokenizer, WordTokenizer):
        with pytest.raises(UserError, match="no text"):
            kind.train([""])
        with pytest.raises(UserError, match="surrogate"):
            kind.train(["\ud800"])
        with pytest.raises(UserError, match="surrogate"):
            kind.train(["a"], unknown=True).encode("\ud800")
