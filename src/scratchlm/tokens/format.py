"""`tokenizer.json`: a tokenizer in one file, in the format of Hugging Face `tokenizers`.

Vocabulary, split pattern and special tokens are written once, in that library's own fields, and read back from them.
`tokens/spelling.py` writes bytes. SentencePiece-style BPE has the form of transformers for Llama 2 and Gemma.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.base.reading import intact
from scratchlm.tokens.merging import merges_hold
from scratchlm.tokens.pieces_format import CONTINUES, read_unigram, read_wordpiece, unigram_model, wordpiece_model
from scratchlm.tokens.spelling import DECODER, read_pattern, require_ids, spell, split_step, splits, unspell
from scratchlm.tokens.vocabulary import (
    SPACE,
    BytePairVocabulary,
    Ends,
    SentencePieceVocabulary,
    SymbolVocabulary,
    UnigramVocabulary,
    Vocabulary,
    WordPieceVocabulary,
)

FILE_NAME = "tokenizer.json"
ENDS_FILE = "tokenizer_config.json"
UNKNOWN = "<unk>"
PLAIN_BPE = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


BYTE_NAMES = [f"<0x{value:02X}>" for value in range(256)]
"""The byte tokens of SentencePiece."""


def write_vocabulary(folder: Path | str, vocabulary: Vocabulary) -> None:
    """Write `folder/tokenizer.json` atomically, and `tokenizer_config.json` where `ends` is not the default."""
    write_json(Path(folder) / FILE_NAME, to_json(vocabulary))
    if isinstance(vocabulary, SentencePieceVocabulary) or vocabulary.ends != Ends():
        write_json(Path(folder) / ENDS_FILE, ends_to_json(vocabulary.ends))


def ends_to_json(ends: Ends) -> dict[str, Any]:
    """Return the fields of `tokenizer_config.json` for the beginning and end of a document.

    The tokenizer class is the one that uses `tokenizer.json` unchanged: with a model's own, transformers converts it.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": ends.begin,
        "eos_token": ends.last or ends.end,
        "add_bos_token": ends.begin is not None and ends.add_bos,
        "clean_up_tokenization_spaces": False,
    }


def to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    entries = [(id, text, True) for text, id in vocabulary.specials.items()]
    entries += [(id, text, False) for text, id in vocabulary.added.items()]
    match vocabulary:
        case BytePairVocabulary():
            normalizer, pre_tokenizer, decoder, model = _byte_pair_parts(vocabulary)
        case SymbolVocabulary():
            normalizer, pre_tokenizer, decoder, model = _symbol_parts(vocabulary)
        case WordPieceVocabulary():
            joined = {"type": "Replace", "pattern": {"String": CONTINUES}, "content": ""}
            normalizer, pre_tokenizer = None, splits(vocabulary.pattern)
            decoder, model = {"type": "Sequence", "decoders": [joined, DECODER]}, wordpiece_model(vocabulary)
        case UnigramVocabulary():
            normalizer, pre_tokenizer = None, splits(vocabulary.pattern)
            decoder, model = DECODER, unigram_model(vocabulary)
        case _:
            normalizer, pre_tokenizer, decoder, model = _sentencepiece_parts(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(*entry) for entry in sorted(entries)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": _post_processor(vocabulary.ends, vocabulary.specials),
        "decoder": decoder,
        "model": model,
    }


def _added_token(id: int, text: str, special: bool) -> dict[str, Any]:
    """Return an entry of `added_tokens`; a special one is found before the text is normalised."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    return {"id": id, "content": text, **plain, "normalized": not special, "special": special}


def _post_processor(ends: Ends, specials: Mapping[str, int]) -> dict[str, Any] | None:
    """Return the post-processor of `tokenizers` that inserts a token before every text, or None without one."""
    if not ends.add_bos or ends.begin is None or ends.begin not in specials:
        return None
    return template_processing(specials, [ends.begin], [ends.begin], [])


def template_processing(
    specials: Mapping[str, int], before: list[str], between: list[str], after: list[str]
) -> dict[str, Any]:
    """Return the post-processor of `tokenizers` that inserts special tokens around a text, or a pair of texts."""
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    begin, middle, end = (
        [{"SpecialToken": {"id": name, "type_id": 0}} for name in names] for names in (before, between, after)
    )
    named = {name: {"id": name, "ids": [specials[name]], "tokens": [name]} for name in (*before, *after)}
    return {
        "type": "TemplateProcessing",
        "single": [*begin, first, *end],
        "pair": [*begin, first, *middle, second, *end],
        "special_tokens": named,
    }


Parts = tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any], dict[str, Any]]
"""Normalizer, pre-tokenizer, decoder and model."""


def _byte_pair_parts(vocabulary: BytePairVocabulary) -> Parts:
    # Special tokens are in the vocabulary too: otherwise `tokenizers` changes their ids where ids have gaps.
    names = {spell(token): id for token, id in vocabulary.tokens.items()}
    names |= {**vocabulary.added, **vocabulary.specials}
    normalizer = {"type": vocabulary.normalization} if vocabulary.normalization else None
    merges = [[spell(left), spell(right)] for left, right in vocabulary.merges]
    return normalizer, splits(vocabulary.pattern), DECODER, {**PLAIN_BPE, "vocab": _by_id(names), "merges": merges}


def _symbol_parts(vocabulary: SymbolVocabulary) -> Parts:
    names = {symbol: id for id, symbol in enumerate(vocabulary.symbols)} | dict(vocabulary.specials)
    # WordLevel requires an unknown token; one outside the vocabulary makes unknown symbols an error there as here.
    model = {"type": "WordLevel", "vocab": names, "unk_token": vocabulary.unknown or ""}
    return None, split_step(vocabulary.pattern), {"type": "Fuse"}, model


def _sentencepiece_parts(vocabulary: SentencePieceVocabulary) -> Parts:
    names = {**vocabulary.pieces, **vocabulary.added, **vocabulary.specials}
    names |= {BYTE_NAMES[value]: id for value, id in enumerate(vocabulary.byte_ids)}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    before = [{"type": "Prepend", "prepend": SPACE}] if vocabulary.prefix else []
    after = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if vocabulary.prefix else []
    decoders = [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *after]
    model = {
        **PLAIN_BPE,
        "unk_token": next((name for name, id in names.items() if id == vocabulary.unknown), None),
        "fuse_unk": True,
        "byte_fallback": bool(vocabulary.byte_ids),
        "vocab": _by_id(names),
        "merges": [list(pair) for pair in vocabulary.merges],
    }
    normalizer = {"type": "Sequence", "normalizers": [*before, spaces]}
    return normalizer, None, {"type": "Sequence", "decoders": decoders}, model


def _by_id(names: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(names.items(), key=lambda item: item[1]))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a `tokenizer.json`; a broken, incomplete or unsupported one is a `UserError` that names file and problem."""
    data = read_json(path)
    beside = path.with_name(ENDS_FILE)
    try:
        with intact(path, "tokenizer.json"):
            vocabulary = from_json(data)
            if isinstance(vocabulary, BytePairVocabulary | SentencePieceVocabulary) and beside.exists():
                return replace(vocabulary, ends=_read_ends(read_json(beside), data, vocabulary.specials))
            return vocabulary
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _read_ends(config: Mapping[str, Any], data: Mapping[str, Any], specials: Mapping[str, int]) -> Ends:
    """Read the ends of a document; the beginning is added where the file says so, or its post-processor inserts it."""
    steps = data.get("post_processor") or {}
    templates = [step for step in steps.get("processors", [steps]) if step.get("type") == "TemplateProcessing"]
    templated = any("SpecialToken" in step["single"][0] for step in templates if step["single"])
    stored = [config.get("bos_token"), config.get("eos_token")]  # texts, or objects with their properties
    texts = [each.get("content") if isinstance(each, dict) else each for each in stored]
    begin, eos = (text if isinstance(text, str) and text in specials else None for text in texts)
    return Ends.of(begin, eos, bool(config.get("add_bos_token", templated)), specials)


def from_json(data: Mapping[str, Any]) -> Vocabulary:
    """Read the content of a `tokenizer.json`; an unsupported feature is a `UserError` that names it."""
    model = data["model"]
    listed = data.get("added_tokens") or []
    specials = {str(token["content"]): int(token["id"]) for token in listed if token["special"]}
    added = {str(token["content"]): int(token["id"]) for token in listed if not token["special"]}
    kind = model.get("type", "BPE")
    if kind == "WordLevel":
        return _read_symbols(data, specials)
    if kind in ("WordPiece", "Unigram"):
        if added:
            raise UserError(f"its model is {kind} and has added tokens; these can be read with BPE alone")
        return read_wordpiece(data, specials) if kind == "WordPiece" else read_unigram(data, specials)
    if kind != "BPE":
        raise UserError(f"its model is {kind}; only BPE, WordPiece and Unigram can be read")
    for token in listed:
        if not token["special"] and (token["single_word"] or token["lstrip"] or token["rstrip"]):
            raise UserError(f"its added token {token['content']!r} strips its surroundings; that cannot be read")
    if model.get("byte_fallback"):
        return _read_sentencepiece(data, specials, added)
    if model.get("unk_token"):
        raise UserError("its model has an unknown token and no bytes; only BPE that can spell any text can be read")
    return _read_byte_pairs(data, specials, added)


def _read_byte_pairs(
    data: Mapping[str, Any], specials: Mapping[str, int], added: Mapping[str, int]
) -> BytePairVocabulary:
    tokens: dict[bytes, int] = {}
    for name, id in data["model"]["vocab"].items():
        if name in specials or name in added:
            continue
        try:
            tokens[unspell(name)] = int(id)
        except KeyError as error:
            raise UserError(
                f"its token {name!r} is not spelled in bytes ({error} is none); only byte-level BPE can be read"
            ) from error
    require_ids([*tokens.values(), *added.values(), *specials.values()])
    normalizer = None if data.get("normalizer") is None else str(data["normalizer"]["type"])
    if normalizer not in (None, "NFC", "NFD", "NFKC", "NFKD"):
        raise UserError(f"its normalizer is {normalizer}; only NFC, NFD, NFKC and NFKD can be read")
    vocabulary = BytePairVocabulary(tokens, read_pattern(data), specials, added, normalizer)
    require_merges(vocabulary, data["model"]["merges"])
    return vocabulary


def require_merges(vocabulary: BytePairVocabulary, listed: list[Any]) -> None:
    """Compare the merges of the file with those implied by the order of the vocabulary."""
    pairs = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in listed]
    if _are_merges(pairs, vocabulary.tokens):
        return
    implied = [[spell(left), spell(right)] for left, right in vocabulary.merges]
    for place, (pair, expected) in enumerate(itertools.zip_longest(pairs, implied)):
        if pair != expected:
            words = [repr(" ".join(parts)) if parts else "none" for parts in (pair, expected)]
            raise UserError(
                f"its merge {place:,} is {words[0]} where the order of its vocabulary implies {words[1]}; "
                "restore the file"
            )


def _are_merges(pairs: list[list[str]], tokens: Mapping[bytes, int]) -> bool:
    ids = {spell(token): id for token, id in tokens.items()}
    try:
        return merges_hold(((ids[left], ids[right], ids[left + right]) for left, right in pairs), tokens)
    except (KeyError, ValueError):  # an unknown token, or a merge that is no pair
        return False


def _read_symbols(data: Mapping[str, Any], specials: Mapping[str, int]) -> SymbolVocabulary:
    model = data["model"]
    symbols = {str(name): int(id) for name, id in model["vocab"].items() if name not in specials}
    ordered = sorted(symbols, key=symbols.__getitem__)
    if [symbols[symbol] for symbol in ordered] != list(range(len(ordered))):
        raise UserError("its symbols do not have the ids from 0 on; restore the file")
    require_ids([*symbols.values(), *specials.values()])
    pattern = str(data["pre_tokenizer"]["pattern"]["Regex"])
    return SymbolVocabulary(ordered, pattern, specials, _unknown(model))


def _unknown(model: Mapping[str, Any]) -> str | None:
    """Return the token that stands for what is outside the vocabulary."""
    token = model.get("unk_token") or None
    if not isinstance(token, str | None):
        raise UserError(f"its unk_token is {str(token)[:80]}; a text or null is expected")
    return token


def _read_sentencepiece(
    data: Mapping[str, Any], specials: Mapping[str, int], added: Mapping[str, int]
) -> SentencePieceVocabulary:
    model = data["model"]
    names = {str(name): int(id) for name, id in model["vocab"].items()}
    if not names.keys() >= set(BYTE_NAMES):
        raise UserError("its bytes have no tokens of their own, to which unknown characters could fall back")
    byte_ids = [names[name] for name in BYTE_NAMES]
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    merged = {part for pair in merges for part in (*pair, "".join(pair))}  # some are also added tokens in Gemma
    stray_id = next((name for name, id in added.items() if names.get(name, id) != id), None)
    if stray_id is not None:
        raise UserError(f"its added token {stray_id!r} has another id than in the vocabulary; restore the file")
    unknown = names.get(_unknown(model) or "")
    apart = {*specials, *BYTE_NAMES, *(added.keys() - merged)}
    pieces = {name: id for name, id in names.items() if name not in apart and id != unknown}
    alone = [id for name, id in added.items() if name not in pieces]
    require_ids([*pieces.values(), *byte_ids, *alone, *specials.values()])
    stray = next((pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= pieces.keys()), None)
    if stray is not None:
        raise UserError(f"its merge {' '.join(stray)!r} is not one of two tokens into another; restore the file")
    if unknown is not None:
        specials = {**specials, UNKNOWN: specials.get(UNKNOWN, unknown)}
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=[(left, right) for left, right in merges],
        byte_ids=byte_ids,
        specials=specials,
        unknown=unknown,
        added=added,
        prefix=_has_prefix(data),
        ends=Ends(None, next((name for name in ("</s>", "<eos>", "<|endoftext|>") if name in specials), None)),
    )


def _has_prefix(data: Mapping[str, Any]) -> bool:
    """Return whether a space is added before the text, by a Prepend normalizer or a Metaspace pre-tokenizer."""
    normalizer = data.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    cut = data.get("pre_tokenizer") or {}
    strange = [step["type"] for step in steps if step["type"] not in ("Prepend", "Replace")]
    if strange:
        raise UserError(f"its normalizer has the step {strange[0]}; only Prepend and Replace can be read")
    if any(step["type"] == "Prepend" for step in steps):
        return True
    if cut.get("type") == "Metaspace":
        return bool(cut.get("prepend_scheme", "always" if cut.get("add_prefix_space", True) else "never") != "never")
    if cut and cut.get("type") != "Split":
        raise UserError(f"its pre_tokenizer is {cut.get('type')}; with byte fallback only Metaspace can be read")
    return False
