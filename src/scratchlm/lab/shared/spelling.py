"""Words that a vocabulary lacks, spelled by a model of bytes: what they add to the code length of a text.

A model of words gives a text outside its vocabulary the unknown token, which does not say which word it is. Here a
model of bytes spells that word after the text before it. What is summed for an unknown word:

- the unknown token, by the model of words (added by the caller);
- each byte of the word, with the space before it that belongs to it, by the model of bytes, after all text before it;
- the end of the word. If an ASCII character follows, minus the log of the summed probability of all ASCII bytes that
  are neither letter, digit nor underscore: that the word ends, not which byte follows. If another character follows,
  all its bytes. A punctuation mark ends by itself, and so does a character in a model of characters.

A reader can decode this: after an unknown token it reads bytes until the word has ended, then goes on with words. The
spelled words with their ends exclude each other, so their probabilities sum to at most 1. The sum is a code length
that can be reached, hence an upper bound of the shortest one. Two parts of it are wasted. The model of bytes gives
known words some probability, though the unknown token excludes them; `known_word_mass` measures how much. And the
next token is coded as if nothing were known of its first character.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex
import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.data.batches import ArrayTokens, padded
from scratchlm.evaluation.bits import target_logits
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import Tokenizer, first_token
from scratchlm.tokens.simple import SymbolTokenizer, WordTokenizer

WORD_BYTES = frozenset(f"{string.ascii_letters}{string.digits}_".encode())
"""ASCII bytes that continue a word; any other one ends it."""
IN_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]")
CONTEXT = 128
"""Bytes before an unknown word that `known_word_mass` reads."""
TOGETHER = 256
"""Words that are spelled at once."""


@dataclass(frozen=True)
class Span:
    """The bytes of a token that is unknown."""

    start: int
    stop: int
    end_stop: int
    """Where the bytes stop that end it: `stop` if it ends by itself or at an ASCII character."""
    ends: bool
    """Whether an ASCII character ends it, so that the end is scored as that of any word."""


def unknown_spans(tokenizer: SymbolTokenizer, text: str) -> list[Span]:
    """Return the spans of bytes of `text` that the tokenizer gives its unknown token."""
    spans, start = [], 0
    of_words = isinstance(tokenizer, WordTokenizer)
    symbols = [match.group() for match in regex.finditer(tokenizer.vocabulary.pattern, text)]
    for number, (symbol, id) in enumerate(zip(symbols, tokenizer.encode(text), strict=True)):
        stop = start + len(symbol.encode("utf-8"))
        if id == tokenizer.unknown:
            more = symbols[number + 1][0] if number + 1 < len(symbols) else ""
            needs_end = of_words and bool(more) and (symbol == " " or is_word(symbol))
            by_ascii = needs_end and more.isascii() and symbol != " "
            end_stop = stop + len(more.encode("utf-8")) if needs_end and not by_ascii else stop
            spans.append(Span(start, stop, end_stop, by_ascii))
        start = stop
    return spans


def is_word(symbol: str) -> bool:
    """Return whether a token of a word tokenizer is a word, which only the next character ends."""
    return IN_WORD.match(symbol[-1]) is not None


@dataclass(frozen=True)
class ByteLosses:
    """What a model of bytes says of a text of N bytes, in nats."""

    nats: Float[np.ndarray, " N"]
    """Of each byte, given the text before it."""
    end_nats: Float[np.ndarray, " N"]
    """Of the end of a word before each byte: that an ASCII byte outside of words stands here."""

    def of(self, spans: Sequence[Span]) -> Float[np.ndarray, " S"]:
        """Return what spelling each span takes, with its end."""
        sums = np.concatenate([[0.0], self.nats.cumsum()])
        return np.array([
            sums[span.end_stop] - sums[span.start] + (self.end_nats[span.stop] if span.ends else 0.0) for span in spans
        ])  # fmt: skip


def byte_losses(model: Decoder, tokenizer: Tokenizer, ids: np.ndarray) -> ByteLosses:
    """Score a text with a model of bytes, in windows that overlap by half."""
    enders = ending_ids(tokenizer)
    nats, ends = [], []
    for logits, targets in target_logits(model, tokenizer, ArrayTokens(ids), stride=model.config.context // 2):
        total = logits.logsumexp(-1)
        nats.append(total - logits.gather(-1, targets[:, None]).squeeze(-1))
        ends.append(total - logits[:, enders].logsumexp(-1))
    return ByteLosses(torch.cat(nats).double().numpy(), torch.cat(ends).double().numpy())


def ending_ids(tokenizer: Tokenizer) -> Tensor:
    """Return the ids of the ASCII bytes that end a word, of a tokenizer of single bytes."""
    ids = range(tokenizer.vocabulary_size - len(tokenizer.specials))
    single = {id: tokenizer.token_bytes(id)[0] for id in ids}
    return torch.tensor([id for id, byte in single.items() if byte < 128 and byte not in WORD_BYTES])


def known_word_mass(model: Decoder, tokenizer: Tokenizer, before: Sequence[int], words: SymbolTokenizer) -> float:
    """Return the probability that a model of bytes gives, after the ids `before`, to all known words with their ends.

    Minus the log of what is left of 1 is what the spelling of an unknown word there wastes. A space alone, which is a
    token before other whitespace only, is left out: it begins most words, whose probability would count twice.
    """
    known = [id for id in range(words.vocabulary_size - len(words.specials)) if id != words.unknown]
    texts = [text for text in map(words.token_bytes, known) if text != b" "]
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    context = [first_token(tokenizer) or 0, *before][-CONTEXT:]
    enders = ending_ids(tokenizer)
    total = 0.0
    for at in range(0, len(order), TOGETHER):
        chosen = [texts[each] for each in order[at : at + TOGETHER]]
        rows = [tokenizer.encode(text.decode("utf-8")) for text in chosen]
        ending = [is_word(text.decode("utf-8")) for text in chosen]
        total += sum(_probabilities(model, context, rows, ending, enders))
    return total


@torch.no_grad()
def _probabilities(
    model: Decoder, context: Sequence[int], rows: Sequence[Sequence[int]], ending: Sequence[bool], enders: Tensor
) -> Iterator[float]:
    """Yield the probability of each row of ids after a context; where `ending`, with the end of a word after it."""
    model.eval()
    cache = KVCache(len(context) + max(map(len, rows)))
    if len(context) > 1:
        model.hidden(torch.tensor([context[:-1]]), cache)
        cache.keep(torch.zeros(len(rows), dtype=torch.int64))
    table, _ = padded([[context[-1], *row] for row in rows])
    scores = model.logits(model.hidden(table, cache)).float().log_softmax(-1)
    ends = scores[..., enders].logsumexp(-1)
    spelled = scores[:, :-1].gather(-1, table[:, 1:, None]).squeeze(-1).double()
    for number, row in enumerate(rows):
        end = float(ends[number, len(row)]) if ending[number] else 0.0
        yield float(np.exp(float(spelled[number, : len(row)].sum()) + end))
