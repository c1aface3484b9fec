"""How `tokenizer.json` holds WordPiece and Unigram: the models of Hugging Face `tokenizers`, with bytes spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.tokens.spelling import SPELLING, read_pattern, require_ids, spell, unspell
from scratchlm.tokens.vocabulary import UnigramVocabulary, WordPieceVocabulary

CONTINUES = "…"
"""What a token that continues a chunk begins with (BERT: `##`). No byte is spelled so, unlike `#`."""


def wordpiece_model(vocabulary: WordPieceVocabulary) -> dict[str, Any]:
    """Return the model of a WordPiece tokenizer."""
    names = {spell(token): id for token, id in vocabulary.starts.items()}
    names |= {CONTINUES + spell(token): id for token, id in vocabulary.continuations.items()}
    return {
        "type": "WordPiece",
        "unk_token": SPELLING[0],  # required there; no chunk is ever unknown, since each byte is a token
        "continuing_subword_prefix": CONTINUES,
        "max_input_chars_per_word": 1_000_000_000,
        "vocab": dict(sorted(names.items(), key=lambda item: item[1])),
    }


def unigram_model(vocabulary: UnigramVocabulary) -> dict[str, Any]:
    """Return the model of a Unigram tokenizer."""
    scores = [[spell(token), score] for token, score in vocabulary.scores.items()]
    return {"type": "Unigram", "unk_id": None, "vocab": scores, "byte_fallback": False}


def read_wordpiece(data: Mapping[str, Any], specials: Mapping[str, int]) -> WordPieceVocabulary:
    """Read a WordPiece tokenizer that has a token for each byte; another one is a `UserError`."""
    model = data["model"]
    prefix = str(model["continuing_subword_prefix"])
    names = {str(name): int(id) for name, id in model["vocab"].items() if name not in specials}
    require_ids([*names.values(), *specials.values()])
    if prefix != CONTINUES:
        raise UserError(f"its tokens within words begin with {prefix!r}; only byte-level WordPiece can be read")
    starts, continuations = (
        _bytes_of({name.removeprefix(prefix): id for name, id in names.items() if name.startswith(prefix) == within})
        for within in (False, True)
    )
    return WordPieceVocabulary(starts, continuations, read_pattern(data), specials)


def read_unigram(data: Mapping[str, Any], specials: Mapping[str, int]) -> UnigramVocabulary:
    """Read a Unigram tokenizer that has a token for each byte; another one is a `UserError`."""
    listed = [(str(name), float(score)) for name, score in data["model"]["vocab"]]
    require_ids([*range(len(listed)), *specials.values()])
    ids = _bytes_of({name: id for id, (name, _) in enumerate(listed)})
    if len(ids) != len(listed):
        raise UserError("its vocabulary names a token twice; restore the file")
    return UnigramVocabulary({token: listed[id][1] for token, id in ids.items()}, read_pattern(data), specials)


def _bytes_of(names: Mapping[str, int]) -> dict[bytes, int]:
    """Return the bytes that names spell, with their ids; a name of other characters, or a missing byte, is an error."""
    try:
        tokens = {unspell(name): id for name, id in names.items()}
    except KeyError as error:
        raise UserError(
            f"its tokens are not spelled in bytes ({error} is none); only byte-level ones can be read"
        ) from error
    missing = [value for value in range(256) if bytes([value]) not in tokens]
    if missing:
        raise UserError(
            f"it has no token for the byte {missing[0]}; only tokenizers that can spell any text can be read"
        )
    return tokens
