"""Parts of `tokenizer.json` and `tokenizer_config.json` that byte-level and SentencePiece tokenizers have alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Ends

FILE_NAME = "tokenizer.json"
ENDS_FILE = "tokenizer_config.json"


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


def post_processor(ends: Ends, specials: Mapping[str, int]) -> dict[str, Any] | None:
    """Return the post-processor of `tokenizers` that inserts a token before every text, or None without one."""
    if not ends.add_bos or ends.begin is None or ends.begin not in specials:
        return None
    begin, first, second = (
        {kind: {"id": name, "type_id": 0}}
        for kind, name in [("SpecialToken", ends.begin), ("Sequence", "A"), ("Sequence", "B")]
    )
    named = {"id": ends.begin, "ids": [specials[ends.begin]], "tokens": [ends.begin]}
    return {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, begin, second],
        "special_tokens": {ends.begin: named},
    }


def added_token(id: int, text: str, special: bool) -> dict[str, Any]:
    """Return an entry of `added_tokens`; a special one is found before the text is normalised."""
    return {
        "id": id,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
    }


def require_ids(ids: list[int]) -> None:
    """Refuse duplicate ids, and ids so large that their table would be mostly gaps."""
    if len(set(ids)) != len(ids):
        twice = next(id for id, count in Counter(ids).items() if count > 1)
        raise UserError(f"its id {twice} belongs to two tokens; restore the file")
    if ids and not (min(ids) >= 0 and max(ids) < 4 * len(ids) + 1024):
        stray = min(ids) if min(ids) < 0 else max(ids)
        raise UserError(f"its id {stray} is out of bounds for {len(ids):,} tokens; restore the file")
