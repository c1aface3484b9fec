"""Tokenizers in GGUF: llama.cpp's `gpt2` (byte-level BPE) and `llama` (SentencePiece-style BPE)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from gguf import GGUFWriter, TokenType

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.format import BYTE_NAMES, require_merges
from scratchlm.tokens.patterns import CL100K, GPT2, QWEN2, SMOLLM
from scratchlm.tokens.sentencepiece import merges_by_score
from scratchlm.tokens.spelling import spell, unspell
from scratchlm.tokens.vocabulary import BytePairVocabulary, Ends, SentencePieceVocabulary, Vocabulary

PATTERNS = {"qwen2": QWEN2, "gpt-2": GPT2, "smollm": SMOLLM, "dbrx": CL100K, "llama-bpe": CL100K, "olmo": GPT2}
"""Split patterns by llama.cpp's names; the first name of a pattern is written."""


def read_vocabulary(metadata: Mapping[str, Any], where: str) -> Vocabulary:
    """Read the tokenizer from a file's metadata. Raises `UserError` for unknown kinds and patterns."""
    values = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}
    kind, tokens = values.get("model"), values.get("tokens")
    if kind not in ("gpt2", "llama") or not tokens:
        raise UserError(f"{where}: its tokenizer is {kind!r}; only gpt2 (byte-level BPE) and llama can be read")
    types = values.get("token_type") or [TokenType.NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise UserError(f"{where}: {len(types):,} kinds for {len(tokens):,} tokens; restore the file")
    by_type: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for id, (text, type_) in enumerate(zip(tokens, types, strict=True)):
        by_type[int(type_)][text] = id
    places = (values.get("bos_token_id"), values.get("eos_token_id"))
    begin, end = (None if id is None or id >= len(tokens) else tokens[id] for id in places)
    ends = Ends.of(begin, end, bool(values.get("add_bos_token", kind == "llama")), by_type[TokenType.CONTROL])
    return _byte_pairs(values, by_type, ends, where) if kind == "gpt2" else _sentencepiece(values, by_type, ends)


def _byte_pairs(
    values: Mapping[str, Any], by_type: Mapping[int, Mapping[str, int]], ends: Ends, where: str
) -> BytePairVocabulary:
    name = values.get("pre", "default")
    if name not in PATTERNS:
        raise UserError(f"{where}: its split pattern is {name!r}; known are {', '.join(PATTERNS)}")
    try:
        tokens = {unspell(text): id for text, id in by_type[TokenType.NORMAL].items()}
    except KeyError as error:
        raise UserError(f"{where}: its tokenizer has a token with {error}, which spells no byte") from error
    specials, added = by_type[TokenType.CONTROL], by_type[TokenType.USER_DEFINED]
    vocabulary = BytePairVocabulary(tokens, PATTERNS[name], specials, added, ends=ends)
    try:
        require_merges(vocabulary, values.get("merges") or [])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return vocabulary


def _sentencepiece(
    values: Mapping[str, Any], by_type: Mapping[int, Mapping[str, int]], ends: Ends
) -> SentencePieceVocabulary:
    pieces, byte_ids = by_type[TokenType.NORMAL], by_type[TokenType.BYTE]
    scores = values.get("scores") or [-float(id) for id in range(len(values["tokens"]))]
    unknown = dict(itertools.islice(by_type[TokenType.UNKNOWN].items(), 1))
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=merges_by_score(pieces, {piece: scores[id] for piece, id in pieces.items()}),
        byte_ids=[byte_ids[name] for name in BYTE_NAMES] if byte_ids.keys() >= set(BYTE_NAMES) else [],
        specials={**by_type[TokenType.CONTROL], **unknown},
        unknown=next(iter(unknown.values()), None),
        added=by_type[TokenType.USER_DEFINED],
        prefix=bool(values.get("add_space_prefix", True)),
        ends=ends,
    )


def write_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, rows: int) -> None:
    """Write a tokenizer's tokens and merges, padded to the embedding's `rows`.

    Raises `UserError` for a tokenizer that llama.cpp does not support: of characters, of words, or with another split
    pattern.
    """
    vocabulary, pre = tokenizer.vocabulary, "default"
    tokens, types = [f"[PAD{id}]" for id in range(rows)], [TokenType.UNUSED] * rows

    def place(kind: TokenType, named: Iterable[tuple[str, int]]) -> None:
        for text, id in named:
            tokens[id], types[id] = text, kind

    if not isinstance(vocabulary, BytePairVocabulary | SentencePieceVocabulary):
        raise UserError("llama.cpp reads byte-level BPE and SentencePiece; train a tokenizer of --kind bpe for it")
    place(TokenType.CONTROL, vocabulary.specials.items())
    place(TokenType.USER_DEFINED, vocabulary.added.items())
    if isinstance(vocabulary, BytePairVocabulary):
        pre = next((name for name, pattern in PATTERNS.items() if pattern == vocabulary.pattern), "")
        if not pre or vocabulary.normalization not in (None, "NFC"):  # llama.cpp leaves NFC to the caller
            what = "normalizes text in a way" if pre else "splits text by a pattern"
            raise UserError(f"the tokenizer {what} that llama.cpp does not know; known are {', '.join(PATTERNS)}")
        place(TokenType.NORMAL, ((spell(token), id) for token, id in vocabulary.tokens.items()))
    else:
        place(TokenType.NORMAL, vocabulary.pieces.items())
        place(TokenType.BYTE, zip(BYTE_NAMES, vocabulary.byte_ids, strict=False))
        if vocabulary.unknown is not None:
            types[vocabulary.unknown] = TokenType.UNKNOWN
    writer.add_tokenizer_model("gpt2" if isinstance(vocabulary, BytePairVocabulary) else "llama")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in types])
    if isinstance(vocabulary, BytePairVocabulary):
        if vocabulary.merges:
            writer.add_token_merges([f"{spell(left)} {spell(right)}" for left, right in vocabulary.merges])
        return
    order: dict[str, int] = {}
    for left, right in vocabulary.merges:
        order.setdefault(left + right, len(order))
    writer.add_token_scores([-float(order.get(text, len(order))) for text in tokens])
    writer.add_add_space_prefix(vocabulary.prefix)
