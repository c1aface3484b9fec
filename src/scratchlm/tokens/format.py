"""`tokenizer.json`: a tokenizer in one file, in the format of Hugging Face `tokenizers`.

Vocabulary, split pattern and special tokens are written once, in that library's own fields, and read back from them.
Byte-level tokens are spelled with GPT-2's printable characters for bytes (`bytes_to_unicode` in openai/gpt-2), because
JSON strings cannot hold arbitrary bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.base.reading import whole
from scratchlm.tokens.base import END_OF_TEXT, Ends
from scratchlm.tokens.json_parts import ENDS_FILE, FILE_NAME, added_token, ends_to_json, post_processor, require_ids
from scratchlm.tokens.patterns import GPT2, SMOLLM
from scratchlm.tokens.sentencepiece_format import sentencepiece_from_json, sentencepiece_to_json
from scratchlm.tokens.vocabulary import BytePairVocabulary, SentencePieceVocabulary, SymbolVocabulary

Vocabulary = BytePairVocabulary | SymbolVocabulary | SentencePieceVocabulary


def _byte_spelling() -> list[str]:
    """Return the printable character of each byte: itself where it is printable, else the next from U+0100 on."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [value for value in range(256) if value not in shown]
    return [chr(value) if value in shown else chr(256 + hidden.index(value)) for value in range(256)]


SPELLING = _byte_spelling()
_VALUE = {character: value for value, character in enumerate(SPELLING)}


def spell(token: bytes) -> str:
    """Spell a token in printable characters.

    >>> spell(b" the")
    'Ġthe'
    """
    return "".join([SPELLING[value] for value in token])


def unspell(text: str) -> bytes:
    """Return the token that `text` spells; raises KeyError for a character that is no byte's."""
    return bytes([_VALUE[character] for character in text])


def write_vocabulary(folder: Path | str, vocabulary: Vocabulary) -> None:
    """Write `folder/tokenizer.json` atomically, and `tokenizer_config.json` where `ends` is not the default."""
    write_json(Path(folder) / FILE_NAME, to_json(vocabulary))
    if isinstance(vocabulary, SymbolVocabulary):
        return
    if isinstance(vocabulary, SentencePieceVocabulary) or vocabulary.ends != Ends():
        write_json(Path(folder) / ENDS_FILE, ends_to_json(vocabulary.ends))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a `tokenizer.json`; a broken, incomplete or unsupported one is a `UserError` that names file and problem."""
    data = read_json(path)
    beside = path.with_name(ENDS_FILE)
    try:
        with whole(path, "tokenizer.json"):
            vocabulary = from_json(data)
            if not isinstance(vocabulary, SymbolVocabulary) and beside.exists():
                return replace(vocabulary, ends=_read_ends(read_json(beside), data, vocabulary.specials))
            return vocabulary
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _read_ends(config: Mapping[str, Any], data: Mapping[str, Any], specials: Mapping[str, int]) -> Ends:
    """Read the tokens at the beginning and end of a document.

    `<|endoftext|>` is the end where it exists, since `eos_token` is the end of a turn in some files. The beginning is
    added where the file says so, or where the post-processor inserts it.
    """
    begin, end = (_token_text(config.get(name)) for name in ("bos_token", "eos_token"))
    steps = data.get("post_processor") or {}
    templates = [step for step in steps.get("processors", [steps]) if step.get("type") == "TemplateProcessing"]
    templated = any("SpecialToken" in step["single"][0] for step in templates if step["single"])
    adds = bool(config.get("add_bos_token", templated))
    known = end if end in specials else None
    last = END_OF_TEXT if END_OF_TEXT in specials else known
    return Ends(begin if begin in specials else None, last, add_bos=adds, last=known if known != last else None)


def _token_text(stored: Any) -> str | None:
    """Return a token's text, stored as a string or as an object with its properties."""
    found = stored.get("content") if isinstance(stored, dict) else stored
    return found if isinstance(found, str) else None


def to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    if isinstance(vocabulary, SentencePieceVocabulary):
        return sentencepiece_to_json(vocabulary)
    added = dict(vocabulary.added) if isinstance(vocabulary, BytePairVocabulary) else {}
    entries = [(id, text, True) for text, id in vocabulary.specials.items()]
    entries += [(id, text, False) for text, id in added.items()]
    parts = _byte_pair_parts(vocabulary) if isinstance(vocabulary, BytePairVocabulary) else _symbol_parts(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(*entry) for entry in sorted(entries)],
        **parts,
    }


def _isolate(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _byte_level(**changes: Any) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False, **changes}


def _byte_pair_parts(vocabulary: BytePairVocabulary) -> dict[str, Any]:
    """Return the fields that differ for byte-level BPE.

    Special tokens are in the vocabulary too: otherwise `tokenizers` changes their ids where ids have gaps.
    """
    names = {spell(token): id for token, id in vocabulary.tokens.items()}
    names |= {**vocabulary.added, **vocabulary.specials}
    return {
        "normalizer": {"type": vocabulary.normalization} if vocabulary.normalization else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [_isolate(vocabulary.pattern), _byte_level()]},
        "post_processor": post_processor(vocabulary.ends, vocabulary.specials),
        "decoder": _byte_level(add_prefix_space=True, trim_offsets=True, use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(names.items(), key=lambda item: item[1])),
            "merges": [[spell(left), spell(right)] for left, right in vocabulary.merges],
        },
    }


def _symbol_parts(vocabulary: SymbolVocabulary) -> dict[str, Any]:
    names = {symbol: id for id, symbol in enumerate(vocabulary.symbols)} | dict(vocabulary.specials)
    # WordLevel requires an unknown token; one outside the vocabulary makes unknown symbols an error there as here.
    return {
        "normalizer": None,
        "pre_tokenizer": _isolate(vocabulary.pattern),
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": names, "unk_token": vocabulary.unknown or ""},
    }


def from_json(data: Mapping[str, Any]) -> Vocabulary:
    """Read the content of a `tokenizer.json`; an unsupported feature is a `UserError` that names it."""
    model = data["model"]
    listed = data.get("added_tokens") or []
    specials = {str(token["content"]): int(token["id"]) for token in listed if token["special"]}
    added = {str(token["content"]): int(token["id"]) for token in listed if not token["special"]}
    kind = model.get("type", "BPE")
    if kind == "WordLevel":
        return _read_symbols(data, model, specials)
    if kind != "BPE":
        raise UserError(f"its model is {kind}; only BPE on bytes, or on characters with byte fallback, can be read")
    for token in listed:
        if not token["special"] and (token["single_word"] or token["lstrip"] or token["rstrip"]):
            raise UserError(f"its added token {token['content']!r} strips its surroundings; that cannot be read")
    if model.get("byte_fallback"):
        return sentencepiece_from_json(data, specials, added)
    if model.get("unk_token"):
        raise UserError("its model has an unknown token and no bytes; only BPE that can spell any text can be read")
    names = {name: int(id) for name, id in model["vocab"].items() if name not in specials and name not in added}
    tokens = _unspell_all(names)
    require_ids([*tokens.values(), *added.values(), *specials.values()])
    vocabulary = BytePairVocabulary(
        tokens, _read_pattern(data), specials, added, _read_normalization(data.get("normalizer"))
    )
    require_merges(vocabulary, model["merges"])
    return vocabulary


def _unspell_all(names: Mapping[str, int]) -> dict[bytes, int]:
    tokens = {}
    for name, id in names.items():
        try:
            tokens[unspell(name)] = id
        except KeyError as error:
            raise UserError(
                f"its token {name!r} is not spelled in bytes ({error} is none); only byte-level BPE can be read"
            ) from error
    return tokens


def require_merges(vocabulary: BytePairVocabulary, listed: list[Any]) -> None:
    """Compare the merges of the file with those implied by the order of the vocabulary."""
    found = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in listed]
    implied = [[spell(left), spell(right)] for left, right in vocabulary.merges]
    for place, (pair, expected) in enumerate(itertools.zip_longest(found, implied)):
        if pair != expected:
            words = [repr(" ".join(parts)) if parts else "none" for parts in (pair, expected)]
            raise UserError(
                f"its merge {place:,} is {words[0]} where the order of its vocabulary implies {words[1]}; "
                "restore the file"
            )


def _read_pattern(data: Mapping[str, Any]) -> str:
    """Return the split pattern.

    It is an isolating Split before a plain ByteLevel, or GPT-2's inside ByteLevel, optionally after isolated digits.
    """
    step = data["pre_tokenizer"]
    *before, byte_level = step["pretokenizers"] if step["type"] == "Sequence" else [step]
    splits = byte_level.get("use_regex", True)
    if byte_level["type"] == "ByteLevel" and not byte_level.get("add_prefix_space"):
        if splits and not before:
            return GPT2
        if splits and len(before) == 1 and before[0]["type"] == "Digits" and before[0]["individual_digits"]:
            return SMOLLM
        if not splits and len(before) == 1 and before[0]["type"] == "Split":
            split = before[0]
            if split["behavior"] == "Isolated" and not split.get("invert") and "Regex" in split["pattern"]:
                return str(split["pattern"]["Regex"])
    kinds = ", ".join(part["type"] for part in [*before, byte_level])
    raise UserError(
        f"its pre_tokenizer ({kinds}) cannot be read; known are an isolating Split by regular expression before a "
        "plain ByteLevel, and ByteLevel without a prefix space, alone or after individual Digits"
    )


def _read_normalization(normalizer: Mapping[str, Any] | None) -> str | None:
    if normalizer is None:
        return None
    if normalizer["type"] not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise UserError(f"its normalizer is {normalizer['type']}; only NFC, NFD, NFKC and NFKD can be read")
    return str(normalizer["type"])


def _read_symbols(data: Mapping[str, Any], model: Mapping[str, Any], specials: Mapping[str, int]) -> SymbolVocabulary:
    symbols = {str(name): int(id) for name, id in model["vocab"].items() if name not in specials}
    ordered = sorted(symbols, key=lambda symbol: symbols[symbol])
    if [symbols[symbol] for symbol in ordered] != list(range(len(ordered))):
        raise UserError("its symbols do not have the ids from 0 on; restore the file")
    require_ids([*symbols.values(), *specials.values()])
    return SymbolVocabulary(
        ordered, str(data["pre_tokenizer"]["pattern"]["Regex"]), specials, model["unk_token"] or None
    )
