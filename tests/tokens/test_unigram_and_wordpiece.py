"""Unigram and WordPiece: the same tokens as `tokenizers`, every text back, one file for both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.tokens import unigram_training
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.commands import train_tokenizer
from scratchlm.tokens.config import TrainTokenizerConfig
from scratchlm.tokens.patterns import GPT2, QWEN2
from scratchlm.tokens.pieces_format import CONTINUES
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.spelling import SPELLING, spell
from scratchlm.tokens.unigram import UnigramTokenizer
from scratchlm.tokens.vocabulary import WordPieceVocabulary
from scratchlm.tokens.wordpiece import WordPieceTokenizer
from scripts import SCRIPTS, fuzz

STORIES = "\n".join(storyworld.stories(60_000, seed=4))
TRAINERS = {"unigram": unigram_training.train, "wordpiece": WordPieceTokenizer.train}


@pytest.fixture(scope="module", params=TRAINERS)
def trained(request: pytest.FixtureRequest) -> Tokenizer:
    tokenizer: Tokenizer = TRAINERS[request.param]([STORIES, *SCRIPTS.values()], 900)
    return tokenizer


@pytest.mark.parametrize("pattern", [QWEN2, GPT2])
def test_unigram_learns_the_tokens_and_scores_of_the_library(pattern: str) -> None:
    library = pytest.importorskip("tokenizers")
    texts = [STORIES, *SCRIPTS.values()]
    ours = unigram_training.train(texts, 700, pattern)
    theirs = library.Tokenizer(library.models.Unigram())
    theirs.pre_tokenizer = _byte_level(library, pattern)
    theirs.train_from_iterator(
        texts,
        library.trainers.UnigramTrainer(
            vocab_size=700, special_tokens=[], initial_alphabet=SPELLING, show_progress=False
        ),
    )
    scores = {spell(token): score for token, score in ours.vocabulary.scores.items()}
    listed = dict(json.loads(theirs.to_str())["model"]["vocab"])
    assert scores.keys() == listed.keys()
    lowest = min(listed.values())  # tokens that the text lacks get low scores by chance there
    seen = {token for token, score in scores.items() if listed[token] > lowest + 0.1}
    assert len(seen) > 450
    assert {token: scores[token] for token in seen} == pytest.approx({token: listed[token] for token in seen}, abs=1e-6)
    _encodes_alike(ours, theirs)


@pytest.mark.parametrize("pattern", [QWEN2, GPT2])
def test_wordpiece_learns_the_tokens_of_the_library(pattern: str) -> None:
    library = pytest.importorskip("tokenizers")
    texts = [STORIES, *SCRIPTS.values()]
    ours = WordPieceTokenizer.train(texts, 900, pattern)
    theirs = library.Tokenizer(library.models.WordPiece(unk_token=SPELLING[0], max_input_chars_per_word=10**9))
    theirs.pre_tokenizer = _byte_level(library, pattern)
    # The library numbers single characters within words by chance, which decides between equal pairs: name them first.
    alphabet = [*(SPELLING[value] for value in range(256)), *(CONTINUES + SPELLING[value] for value in range(256))]
    theirs.train_from_iterator(
        texts,
        library.trainers.WordPieceTrainer(
            vocab_size=900, special_tokens=alphabet, continuing_subword_prefix=CONTINUES, show_progress=False
        ),
    )
    names = {spell(token): id for token, id in ours.vocabulary.starts.items()}
    names |= {CONTINUES + spell(token): id for token, id in ours.vocabulary.continuations.items()}
    assert names == theirs.get_vocab()


def _byte_level(library: object, pattern: str) -> object:
    steps = library.pre_tokenizers  # type: ignore[attr-defined]
    split = steps.Split(library.Regex(pattern), "isolated")  # type: ignore[attr-defined]
    return steps.Sequence([split, steps.ByteLevel(add_prefix_space=False, use_regex=False)])


def _encodes_alike(ours: Tokenizer, theirs: object) -> None:
    for text in [STORIES[:5000], *fuzz(200, seed=3)]:
        tokens = [spell(ours.token_bytes(id)) for id in ours.encode(text)]
        assert tokens == theirs.encode(text, add_special_tokens=False).tokens  # type: ignore[attr-defined]


def test_every_text_comes_back(trained: Tokenizer) -> None:
    for text in [*SCRIPTS.values(), *fuzz(500, seed=6), "", "<|endoftext|>"]:
        ids = trained.encode(text)
        assert trained.decode(ids) == text
        assert not set(ids) & set(trained.specials.values())


def test_a_saved_tokenizer_encodes_equally_here_and_in_the_library(trained: Tokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    again = load_tokenizer(tmp_path)
    other = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    other.encode_special_tokens = True
    assert again.fingerprint == trained.fingerprint
    assert dict(again.specials) == trained.specials
    for text in [STORIES[:3000], *SCRIPTS.values(), *fuzz(300, seed=7)]:
        ids = trained.encode(text)
        assert again.encode(text) == ids
        assert other.encode(text, add_special_tokens=False).ids == ids
        assert other.decode(ids, skip_special_tokens=False) == text


def test_a_continuation_is_another_token_than_a_beginning() -> None:
    tokenizer = WordPieceTokenizer.train(["able unable table stable"], 520)
    beginning, *_, continuation = tokenizer.encode("able")[0], *tokenizer.encode("stable")
    assert beginning != continuation
    assert tokenizer.token_bytes(tokenizer.encode("##!")[0]) in (b"#", b"##", b"##!")


def test_wordpiece_takes_the_longest_beginning_and_never_goes_back() -> None:
    letters = [bytes([value]) for value in range(256)]
    starts = {token: id for id, token in enumerate([*letters, b"un", b"unh"])}
    within = {token: len(starts) + id for id, token in enumerate([*letters, b"happy"])}
    tokenizer = WordPieceTokenizer(WordPieceVocabulary(starts, within, QWEN2, {}))
    cut = [tokenizer.token_bytes(id).decode() for id in tokenizer.encode("unhappy")]
    assert cut == ["unh", "a", "p", "p", "y"]


def test_the_most_probable_cut_is_taken_not_the_longest_token() -> None:
    tokenizer = unigram_training.train([STORIES], 600)
    scores = tokenizer.vocabulary.scores
    for word in (b" Tuesday", b" grandmother", b" wanted"):
        tokens = [tokenizer.token_bytes(id) for id in tokenizer.encode_chunk(word)]
        best = max(sum(scores[part] for part in cut) for cut in _all_cuts(word, set(scores)))
        assert sum(scores[token] for token in tokens) == pytest.approx(best)


def _all_cuts(word: bytes, tokens: set[bytes]) -> list[list[bytes]]:
    if not word:
        return [[]]
    ends = [end for end in range(1, len(word) + 1) if word[:end] in tokens]
    return [[word[:end], *cut] for end in ends for cut in _all_cuts(word[end:], tokens)]


@pytest.mark.parametrize(("kind", "size", "message"), [
    ("unigram", 200, "--vocabulary-size 200: below the 256 bytes"),
    ("wordpiece", 500, "--vocabulary-size 500: below the 512 bytes"),
    ("unigram", 4000, "give --vocabulary-size"),
    ("wordpiece", 4000, "give --vocabulary-size"),
])  # fmt: skip
def test_a_size_that_cannot_be_reached_is_refused(kind: str, size: int, message: str, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("a short text, a very short text", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        train_tokenizer(TrainTokenizerConfig((str(text),), tmp_path / "out", kind, size))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_file_of_another_kind_of_wordpiece_or_unigram_is_refused_by_its_reason(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    bert = library.Tokenizer(library.models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    bert.save(str(path))
    with pytest.raises(UserError, match="its tokens within words begin with '##'; only byte-level WordPiece"):
        load_tokenizer(path)
    library.Tokenizer(library.models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], 0, False)).save(str(path))
    with pytest.raises(UserError, match="its tokens are not spelled in bytes"):
        load_tokenizer(path)
    assert isinstance(unigram_training.train([STORIES], 300), UnigramTokenizer)
