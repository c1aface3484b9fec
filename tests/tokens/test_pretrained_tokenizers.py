"""Published tokenizers from their files: the ids are those of the libraries that published them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken.load

from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.tokens import pretrained
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.bpe import train
from scratchlm.tokens.patterns import GPT2
from scratchlm.tokens.pretrained import gpt2_vocabulary, load_tokenizer
from scratchlm.tokens.spelling import SPELLING, spell
from scratchlm.tokens.vocabulary import trained_vocabulary
from scripts import SCRIPTS, fuzz


@pytest.fixture
def published(data: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tiktoken.Encoding]:
    """Return tiktoken's own encodings, its downloads replaced by the local files (whose hashes it checks)."""
    from tiktoken_ext import openai_public

    local = {"vocab.bpe": "gpt2-vocab.bpe", "encoder.json": "gpt2-encoder.json"}

    def read(path: str, expected_hash: str | None = None) -> bytes:
        name = path.rsplit("/", 1)[1]
        content = (data / "tokenizers" / local.get(name, name)).read_bytes()
        assert expected_hash is None or tiktoken.load.check_hash(content, expected_hash)
        return content

    monkeypatch.setattr(tiktoken.load, "read_file_cached", read)
    return {
        "gpt2-vocab.bpe": tiktoken.Encoding(**openai_public.gpt2()),
        "cl100k_base.tiktoken": tiktoken.Encoding(**openai_public.cl100k_base()),
    }


@pytest.mark.parametrize("name", ["gpt2-vocab.bpe", slow("cl100k_base.tiktoken")])
def test_gpt2_and_cl100k_equal_tiktoken_on_10000_fuzzed_strings(
    name: str, data: Path, published: dict[str, tiktoken.Encoding], fuzzed: list[str], tmp_path: Path
) -> None:
    ours, theirs = load_tokenizer(data / "tokenizers" / name), published[name]
    readable = load_tokenizer(data / "tokenizers" / name, readable=True)
    assert len(fuzzed) == 10_000
    assert ours.vocabulary_size == theirs.n_vocab
    assert dict(ours.specials) == theirs._special_tokens
    for place, text in enumerate(fuzzed):
        ids = theirs.encode_ordinary(text)
        assert ours.encode(text) == ids, text
        assert ours.decode(ids) == text
        assert place % 4 or readable.encode(text) == ids, text
    assert [row.tolist() for row in ours.encode_batch(fuzzed)] == theirs.encode_ordinary_batch(fuzzed)
    ours.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.fingerprint == ours.fingerprint == readable.fingerprint
    assert again.encode_batch(fuzzed[:100])[99].tolist() == ours.encode(fuzzed[99])


def test_olmos_file_gives_the_ids_of_tokenizers(data: Path, fuzzed: list[str]) -> None:
    path = data / "tokenizers" / "olmo-tokenizer.json"
    ours = load_tokenizer(path)
    theirs: Any = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
    theirs.encode_special_tokens = True
    assert ours.vocabulary_size == theirs.get_vocab_size()
    for text in fuzzed[:4_000]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, text


def write_gpt2_files(folder: Path) -> Tokenizer:
    """Write a small tokenizer in the two files of GPT-2, ids numbered by hand, and return it loaded."""
    merges = trained_vocabulary(train([*SCRIPTS.values(), *fuzz(100, seed=14)], 600, GPT2), GPT2).merges
    names = sorted(SPELLING[33:127]) + sorted(SPELLING[161:173]) + sorted(SPELLING[174:])
    names += [character for character in SPELLING if character not in names]
    names += [spell(left + right) for left, right in merges] + ["<|endoftext|>"]
    pairs = [f"{spell(left)} {spell(right)}" for left, right in merges]
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    (folder / "encoder.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), encoding="utf-8")
    return load_tokenizer(folder)


def test_the_two_files_of_gpt2_are_read_with_its_order_of_bytes(tmp_path: Path) -> None:
    tokenizer = write_gpt2_files(tmp_path)
    assert tokenizer.encode("!~\n") == [0, 93, 198]  # as in GPT-2's own encoder.json
    assert tokenizer.end_of_text == 600
    assert tokenizer.decode(tokenizer.encode(SCRIPTS["thai"])) == SCRIPTS["thai"]
    (tmp_path / "encoder.json").rename(tmp_path / "vocab.json")
    (tmp_path / "vocab.bpe").rename(tmp_path / "merges.txt")
    assert load_tokenizer(tmp_path).fingerprint == tokenizer.fingerprint


def test_an_encoder_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gpt2_files(tmp_path)
    listed = json.loads((tmp_path / "encoder.json").read_text())
    listed["a"], listed["b"] = listed["b"], listed["a"]
    (tmp_path / "encoder.json").write_text(json.dumps(listed))
    with pytest.raises(UserError, match=r"disagrees with .*vocab.bpe on the id of b'a'"):
        load_tokenizer(tmp_path)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UserError, match=r"other.json: disagrees"):
        gpt2_vocabulary(tmp_path / "vocab.bpe", other)


def test_a_line_that_is_no_merge_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nh e\nnonsense\n")
    with pytest.raises(UserError, match="line 3 is no pair of tokens"):
        load_tokenizer(tmp_path / "vocab.bpe")
    (tmp_path / "vocab.bpe").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        load_tokenizer(tmp_path / "vocab.bpe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("IQ== 0\nIg== one\n", "line 2 is no token and id"),
        ("IQ== 0\n!!! 1\n", "line 2 is no token and id"),
        ("IQ== 0\nIg== 1\n", "2 tokens where cl100k has 100,256"),
    ],
)
def test_a_tiktoken_file_that_is_broken_or_not_cl100ks_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.tiktoken").write_text(content)
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path / "x.tiktoken")


def test_a_truncated_cl100k_file_is_refused(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    shutil.copy(data / "tokenizers" / path.name, path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:900_000])
    with pytest.raises(UserError, match="restore the file"):
        load_tokenizer(path)
    assert pretrained.CL100K_TOKENS == 100_256
