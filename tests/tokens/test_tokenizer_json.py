"""`tokenizer.json`: read back equal, read equal by Hugging Face `tokenizers`, refused clearly when it is not whole."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scratchlm.base.errors import UserError
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.format import to_json
from scratchlm.tokens.patterns import PATTERNS
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.spelling import SPELLING, spell, unspell
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scripts import SCRIPTS, fuzz


@cache
def trained(name: str = "qwen2") -> FastBPE:
    return FastBPE.train([*SCRIPTS.values(), *fuzz(200, seed=9)], 700, PATTERNS[name])


def other_library(path: Path) -> Any:
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # else it turns the text of a special token into its id
    return tokenizer


def test_bytes_are_spelled_as_gpt2_spells_them() -> None:
    assert len(set(SPELLING)) == 256
    assert (spell(b" the\n"), spell(b"\x00\x7f\xad"), spell("é".encode())) == ("ĠtheĊ", "ĀġŃ", "Ã©")
    assert unspell(spell(bytes(range(256)))) == bytes(range(256))


@pytest.mark.parametrize("readable", [False, True])
@pytest.mark.parametrize("name", PATTERNS)
def test_a_saved_tokenizer_loads_equal(name: str, readable: bool, tmp_path: Path) -> None:
    tokenizer = trained(name)
    (ReadableBPE(tokenizer.vocabulary) if readable else tokenizer).save(tmp_path / "new" / "folder")
    again = load_tokenizer(tmp_path / "new" / "folder", readable=readable)
    assert isinstance(again, ReadableBPE if readable else FastBPE)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.specials == tokenizer.specials
    for text in fuzz(300, seed=10):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == text
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("name", PATTERNS)
def test_tokenizers_reads_the_file_with_the_same_ids(name: str, tmp_path: Path, fuzzed: list[str]) -> None:
    tokenizer = trained(name)
    tokenizer.save(tmp_path)
    other = other_library(tmp_path / "tokenizer.json")
    assert other.get_vocab_size() == tokenizer.vocabulary_size
    for text in fuzzed[:3_000]:
        ids = tokenizer.encode(text)
        assert other.encode(text, add_special_tokens=False).ids == ids, text
        assert other.decode(ids, skip_special_tokens=False) == text
    for text, id in tokenizer.specials.items():
        assert other.token_to_id(text) == id
        assert other.decode([id]) == ""  # known as special: left out by default


def test_transformers_reads_the_file_with_the_same_ids(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = trained()
    tokenizer.save(tmp_path)
    other = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in fuzz(200, seed=11):
        assert other.encode(text, add_special_tokens=False, split_special_tokens=True) == tokenizer.encode(text)
    assert other.encode("<|im_start|>hi") == [tokenizer.specials["<|im_start|>"], *tokenizer.encode("hi")]


def test_ids_with_gaps_survive_here_and_in_tokenizers(tmp_path: Path) -> None:
    vocabulary = trained().vocabulary
    gapped = FastBPE(BytePairVocabulary(vocabulary.tokens, vocabulary.pattern, {"<|endoftext|>": 705, "<|far|>": 720}))
    gapped.save(tmp_path)
    again = load_tokenizer(tmp_path)
    other = other_library(tmp_path / "tokenizer.json")
    assert again.vocabulary_size == 721
    assert again.fingerprint == gapped.fingerprint
    assert (other.token_to_id("<|endoftext|>"), other.token_to_id("<|far|>")) == (705, 720)
    assert other.encode("a <|far|>", add_special_tokens=False).ids == again.encode("a <|far|>")
    with pytest.raises(UserError, match="token id 710: this vocabulary leaves it unused"):
        again.decode([710])


def published(**changes: Any) -> dict[str, Any]:
    """Return a file as others publish it: normalized, with added tokens that are ordinary, GPT-2's split inside."""
    data = to_json(trained("gpt2").vocabulary)
    names = data["model"]["vocab"]
    for place, content in enumerate(("  ", "    ", "|||MAIL|||")):
        data["added_tokens"].append(
            {**data["added_tokens"][0], "content": content, "id": 704 + place, "special": False, "normalized": True}
        )
        names[content] = 704 + place
    data["normalizer"] = {"type": "NFC"}
    data["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    return data | changes


def test_a_published_file_with_added_tokens_and_a_normalizer_gives_the_ids_of_tokenizers(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(published()), encoding="utf-8")
    tokenizer, other = load_tokenizer(path), other_library(path)
    extra = ["e\u0301  x       |||MAIL||| <|endoftext|>", "\u1112\u1161\u11ab  ", "       "]
    texts = [*fuzz(1_500, seed=12), *extra]
    for text in texts:
        ids = tokenizer.encode(text)
        assert other.encode(text, add_special_tokens=False).ids == ids, text
        assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert [row.tolist() for row in tokenizer.encode_batch(texts)] == [tokenizer.encode(text) for text in texts]
    assert 706 in tokenizer.encode(extra[0])
    tokenizer.save(tmp_path / "copy")
    copy = load_tokenizer(tmp_path / "copy")
    assert copy.fingerprint == tokenizer.fingerprint
    assert copy.encode(extra[0]) == tokenizer.encode(extra[0])
    with pytest.raises(UserError, match="use FastBPE"):
        load_tokenizer(path, readable=True)


def test_digits_isolated_before_gpt2s_split_give_the_ids_of_tokenizers(tmp_path: Path) -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    data = published(normalizer=None, pre_tokenizer={"type": "Sequence", "pretokenizers": [digits, byte_level]})
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    tokenizer, other = load_tokenizer(path), other_library(path)
    for text in [*fuzz(1_500, seed=13), "x   12\n3"]:
        assert other.encode(text, add_special_tokens=False).ids == tokenizer.encode(text), text


def swap_two_merges(data: dict[str, Any]) -> None:
    merges = data["model"]["merges"]
    merges[3], merges[4] = merges[4], merges[3]


def drop_a_merge(data: dict[str, Any]) -> None:
    del data["model"]["merges"][-1]


def drop_a_token(data: dict[str, Any]) -> None:
    del data["model"]["vocab"][next(name for name, id in data["model"]["vocab"].items() if id == 300)]


def double_an_id(data: dict[str, Any]) -> None:
    data["model"]["vocab"]["a"] = data["model"]["vocab"]["b"]


def enlarge_an_id(data: dict[str, Any]) -> None:
    data["added_tokens"][0]["id"] = 10**12


def spell_a_token_plainly(data: dict[str, Any]) -> None:
    data["model"]["vocab"]["▁the"] = 704


def another_model(data: dict[str, Any]) -> None:
    data["model"] = {"type": "Unknowngram", "vocab": []}


def another_split(data: dict[str, Any]) -> None:
    data["pre_tokenizer"] = {"type": "Metaspace"}


def a_prefix_space(data: dict[str, Any]) -> None:
    data["pre_tokenizer"]["pretokenizers"][-1]["add_prefix_space"] = True


def another_normalizer(data: dict[str, Any]) -> None:
    data["normalizer"] = {"type": "Lowercase"}


def no_model(data: dict[str, Any]) -> None:
    del data["model"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap_two_merges, "merge 3 is .* where the order of its vocabulary implies"),
        (drop_a_merge, "merge 443 is none where"),
        (drop_a_token, "restore the file|no merge of two earlier tokens"),
        (double_an_id, "id 98 belongs to two tokens"),
        (enlarge_an_id, "id 1000000000000 is out of bounds"),
        (spell_a_token_plainly, "'▁the' is not spelled in bytes"),
        (another_model, "its model is Unknowngram"),
        (another_split, r"pre_tokenizer \(Metaspace\) cannot be read"),
        (a_prefix_space, r"pre_tokenizer \(Split, ByteLevel\) cannot be read"),
        (another_normalizer, "normalizer is Lowercase"),
        (no_model, "not a whole tokenizer.json .*model.*restore the file"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_by_name_and_fault(
    damage: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    trained().save(tmp_path)
    path = tmp_path / "tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=message) as refusal:
        load_tokenizer(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_refused(fraction: float, tmp_path: Path) -> None:
    trained().save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(UserError, match=r"tokenizer.json: not valid JSON"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"model": []}', '{"model": {"vocab": [], "merges": 3}}'])
def test_json_that_is_no_tokenizer_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"not a whole tokenizer.json"):
        load_tokenizer(tmp_path)


def test_a_place_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "absent.json")
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="not a tokenizer file"):
        load_tokenizer(tmp_path / "model.bin")
