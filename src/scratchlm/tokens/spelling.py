"""Byte-level tokenization in `tokenizer.json`: bytes as printable characters, and the pattern that splits a text.

Byte-level tokens are spelled with GPT-2's printable characters for bytes (`bytes_to_unicode` in openai/gpt-2), because
JSON strings cannot hold arbitrary bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.tokens.patterns import GPT2, SMOLLM

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
DECODER = {**BYTE_LEVEL, "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
"""The decoder that `tokenizers` writes for byte-level tokens."""


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


def split_step(pattern: str) -> dict[str, Any]:
    """Return the step of a pre-tokenizer that makes each match of a pattern a chunk."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def splits(pattern: str) -> dict[str, Any]:
    """Return the pre-tokenizer that splits a text by a pattern and spells its bytes."""
    return {"type": "Sequence", "pretokenizers": [split_step(pattern), BYTE_LEVEL]}


def read_pattern(data: Mapping[str, Any]) -> str:
    """Return the split pattern: of an isolating Split before a plain ByteLevel, or the one that ByteLevel implies.

    That is GPT-2's; after isolated digits it is SmolLM's.
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


def require_ids(ids: list[int]) -> None:
    """Refuse duplicate ids, and ids so large that their table would be mostly gaps."""
    if len(set(ids)) != len(ids):
        twice = next(id for id, count in Counter(ids).items() if count > 1)
        raise UserError(f"its id {twice} belongs to two tokens; restore the file")
    if ids and not (min(ids) >= 0 and max(ids) < 4 * len(ids) + 1024):
        stray = min(ids) if min(ids) < 0 else max(ids)
        raise UserError(f"its id {stray} is out of bounds for {len(ids):,} tokens; restore the file")
