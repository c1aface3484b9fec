"""Tokenizers in GGUF: llama.cpp's `gpt2` (byte-level BPE) and `llama` (SentencePiece-style BPE)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gguf import GGUFWriter, TokenType

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.format import BYTE_NAMES, require_merges, spell, unspell
from scratchlm.tokens.patterns import CL100K, GPT2, QWEN2, SMOLLM
from scratchlm.tokens.sentencepiece import merges_by_score
from scratchlm.tokens.vocabulary import BytePairVocabulary, Ends, SentencePieceVocabulary, Vocabulary

PATTERNS = {"qwen2": QWEN2, "gpt-2": GPT2, "smollm": SMOLLM, "dbrx": CL100K, "llama-bpe": CL100K, "olmo": GPT2}
"""Split patterns by llama.cpp's names; the first name of a pattern is written."""


def read_vocabulary(metadata: Mapping[str, Any], where: str) -> Vocabulary:
    """Read the tokenizer from a file's metadata. Raises `UserError` for unknown kinds and patterns."""
    kind, tokens = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.tokens")
    if kind not in ("gpt2", "llama") or not tokens:
        raise UserError(f"{where}: its tokenizer is {kind!r}; only gpt2 (byte-level BPE) and llama can be read")
    types = metadata.get("tokenizer.ggml.token_type") or [TokenType.NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise UserError(f"{where}: {len(types):,} kinds for {len(tokens):,} tokens; restore the file")
    by_type: dict[int, dict[str, int]] = {}
    for id, (text, type_) in enumerate(zip(tokens, types, strict=True)):
        by_type.setdefault(int(type_), {})[text] = id
    ends = _ends(metadata, tokens, by_type.get(TokenType.CONTROL, {}))
    if kind == "gpt2":
        return _byte_pairs(metadata, by_type, ends, where)
    return _sentencepiece(metadata, tokens, by_type, ends)


def _ends(metadata: Mapping[str, Any], tokens: list[str], specials: Mapping[str, int]) -> Ends:
    begin, end = (metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    adds = metadata.get("tokenizer.ggml.add_bos_token", metadata.get("tokenizer.ggml.model") == "llama")
    begin, end = (None if id is None or id >= len(tokens) else tokens[id] for id in (begin, end))
    return Ends.of(begin, end, bool(adds), specials)


def _byte_pairs(
    metadata: Mapping[str, Any], by_type: Mapping[int, Mapping[str, int]], ends: Ends, where: str
) -> BytePairVocabulary:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in PATTERNS:
        raise UserError(f"{where}: its split pattern is {name!r}; known are {', '.join(PATTERNS)}")
    try:
        tokens = {unspell(text): id for text, id in by_type.get(TokenType.NORMAL, {}).items()}
    except KeyError as error:
        raise UserError(f"{where}: its tokenizer has a token with {error}, which spells no byte") from error
    specials, added = by_type.get(TokenType.CONTROL, {}), by_type.get(TokenType.USER_DEFINED, {})
    vocabulary = BytePairVocabulary(tokens, PATTERNS[name], dict(specials), dict(added), ends=ends)
    try:
        require_merges(vocabulary, metadata.get("tokenizer.ggml.merges") or [])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return vocabulary


def _sentencepiece(
    metadata: Mapping[str, Any], tokens: list[str], by_type: Mapping[int, Mapping[str, int]], ends: Ends
) -> SentencePieceVocabulary:
    pieces = dict(by_type.get(TokenType.NORMAL, {}))
    scores = metadata.get("tokenizer.ggml.scores") or [-float(id) for id in range(len(tokens))]
    bytes_ = by_type.get(TokenType.BYTE, {})
    unknown = next(iter(by_type.get(TokenType.UNKNOWN, {}).items()), None)
    specials = {**by_type.get(TokenType.CONTROL, {}), **({} if unknown is None else {unknown[0]: unknown[1]})}
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=merges_by_score(pieces, {piece: scores[id] for piece, id in pieces.items()}),
        byte_ids=[bytes_[name] for name in BYTE_NAMES] if bytes_.keys() >= set(BYTE_NAMES) else [],
        specials=specials,
        unknown=None if unknown is None else unknown[1],
        added=dict(by_type.get(TokenType.USER_DEFINED, {})),
        prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", True)),
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
        raise UserError("llama.cpp has no tokenizer of characters or words; train one by byte-level BPE")
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
