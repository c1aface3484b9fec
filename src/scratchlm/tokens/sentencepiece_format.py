"""`tokenizer.json` of SentencePiece-style BPE, in the form of transformers for Llama 2 and Gemma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Ends
from scratchlm.tokens.json_parts import added_token, post_processor, require_ids
from scratchlm.tokens.vocabulary import SPACE, SentencePieceVocabulary

UNKNOWN = "<unk>"


def byte_name(value: int) -> str:
    """Return the text of a byte token.

    >>> byte_name(10)
    '<0x0A>'
    """
    return f"<0x{value:02X}>"


def sentencepiece_to_json(vocabulary: SentencePieceVocabulary) -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    entries = [(id, text, True) for text, id in vocabulary.specials.items()]
    entries += [(id, text, False) for text, id in vocabulary.added.items()]
    names = {**vocabulary.pieces, **vocabulary.added, **vocabulary.specials}
    names |= {byte_name(value): id for value, id in enumerate(vocabulary.byte_ids)}
    unknown = next((name for name, id in names.items() if id == vocabulary.unknown), None)
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    before = [{"type": "Prepend", "prepend": SPACE}] if vocabulary.prefix else []
    after = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if vocabulary.prefix else []
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(*entry) for entry in sorted(entries)],
        "normalizer": {"type": "Sequence", "normalizers": [*before, spaces]},
        "pre_tokenizer": None,
        "post_processor": post_processor(vocabulary.ends, vocabulary.specials),
        "decoder": {"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *after]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": bool(vocabulary.byte_ids),
            "ignore_merges": False,
            "vocab": dict(sorted(names.items(), key=lambda item: item[1])),
            "merges": [list(pair) for pair in vocabulary.merges],
        },
    }


def sentencepiece_from_json(
    data: Mapping[str, Any], specials: Mapping[str, int], added: Mapping[str, int]
) -> SentencePieceVocabulary:
    """Read the content of a `tokenizer.json`; an unsupported feature is a `UserError` that names it."""
    model = data["model"]
    names = {str(name): int(id) for name, id in model["vocab"].items()}
    byte_ids = [names.get(byte_name(value)) for value in range(256)]
    if None in byte_ids:
        raise UserError("its bytes have no tokens of their own, to which unknown characters could fall back")
    spelled = {byte_name(value) for value in range(256)}
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    merged = {part for pair in merges for part in (*pair, "".join(pair))}  # some are also added tokens in Gemma
    unknown = names.get(model.get("unk_token") or "")
    pieces = {
        name: id
        for name, id in names.items()
        if name not in specials and name not in spelled and id != unknown and (name not in added or name in merged)
    }
    alone = [id for name, id in added.items() if name not in pieces]
    require_ids([*pieces.values(), *(id for id in byte_ids if id is not None), *alone, *specials.values()])
    stray = next((pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= pieces.keys()), None)
    if stray is not None:
        raise UserError(f"its merge {' '.join(stray)!r} is not one of two tokens into another; restore the file")
    ends = Ends(None, next((name for name in ("</s>", "<eos>", "<|endoftext|>") if name in specials), None))
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=[(left, right) for left, right in merges],
        byte_ids=[id for id in byte_ids if id is not None],
        specials={**specials, **({UNKNOWN: unknown} if unknown is not None and UNKNOWN not in specials else {})},
        unknown=unknown,
        added=added,
        prefix=_has_prefix(data),
        ends=ends,
    )


def _has_prefix(data: Mapping[str, Any]) -> bool:
    """Return whether a space is added before the text, by a Prepend normalizer or a Metaspace pre-tokenizer."""
    normalizer = data.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    cut = data.get("pre_tokenizer") or {}
    known = {"Prepend", "Replace"}
    strange = [step["type"] for step in steps if step["type"] not in known]
    if strange:
        raise UserError(f"its normalizer has the step {strange[0]}; only Prepend and Replace can be read")
    if any(step["type"] == "Prepend" for step in steps):
        return True
    if cut.get("type") == "Metaspace":
        return bool(cut.get("prepend_scheme", "always" if cut.get("add_prefix_space", True) else "never") != "never")
    if cut and cut.get("type") != "Split":
        raise UserError(f"its pre_tokenizer is {cut.get('type')}; with byte fallback only Metaspace can be read")
    return False
