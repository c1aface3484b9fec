"""Constrained decoding: an output that must match a regular expression or a JSON schema.

Before each token, all tokens that could not go on to a match are ruled out. llguidance decides which: it walks a tree
of the vocabulary beside its parser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Tokenizer

LONGEST = 100_000
"""Most characters of a regular expression or a schema."""
LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON on one line, as `json.dumps` writes it: with free white space a weak model may write nothing else."""


class _Wrapped:
    """A tokenizer as llguidance asks for it."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        special = set(tokenizer.specials.values())
        self.tokens = [b"" if each is None else each for each in tokenizer.table]
        self.special_token_ids = sorted(special)
        self.eos_token_id = min(stop_ids or special)
        self.bos_token_id = tokenizer.begin_of_text

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


class Grammars:
    """Makes grammars for the tokens of one model, and what ends its texts."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, stop_ids: frozenset[int] = frozenset()) -> None:
        """`vocabulary` is the number of the model's logits."""
        self._from, self._vocabulary, self._stop_ids = tokenizer, vocabulary, stop_ids

    @cached_property
    def _tokens(self) -> Any:
        import llguidance

        if not self._stop_ids and not self._from.specials:
            raise UserError("a grammar: the tokenizer has no special token, so no output can end; use one that has")
        wrapped: Any = _Wrapped(self._from, self._stop_ids)
        stops = sorted(self._stop_ids) or [wrapped.eos_token_id]
        return llguidance.LLTokenizer(wrapped, n_vocab=self._vocabulary, eos_token=stops)

    def regex(self, pattern: str) -> Matcher:
        """Return what holds an output to a regular expression, from its first character to its last.

        Raises `UserError` for one that cannot be read or is too large.
        """
        import llguidance

        _check_length("regular expression", pattern)
        return Matcher(self._tokens, llguidance.LLMatcher.grammar_from_regex(pattern), "regular expression")

    def json_schema(self, schema: Mapping[str, Any] | bool) -> Matcher:
        """Return what holds an output to a JSON schema (draft 2020-12; llguidance documents what it leaves out).

        Raises `UserError` for one that cannot be read, is too large, or asks for what cannot be held.
        """
        import llguidance

        told = json.dumps(schema)
        _check_length("JSON schema", told)
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(told, overrides=LAYOUT)
        except ValueError as error:
            raise UserError(f"JSON schema: {_brief(str(error))}; correct it") from error
        return Matcher(self._tokens, grammar, "JSON schema")

    def any_json(self) -> Matcher:
        """Return what holds an output to a JSON object."""
        return self.json_schema({"type": "object"})


class Matcher:
    """Where an output stands in its grammar. One for each output."""

    def __init__(self, tokens: Any, grammar: str, kind: str) -> None:
        import llguidance

        self._kind = kind
        self._matcher = llguidance.LLMatcher(tokens, grammar, log_level=0)
        self._words = torch.zeros((tokens.vocab_size + 31) // 32, dtype=torch.int32)
        self._bits = torch.arange(32, dtype=torch.int32)
        self._check()

    def copy(self) -> Matcher:
        """Return the same for another output, without compiling it again."""
        other = copy(self)
        other._matcher, other._words = self._matcher.deep_copy(), torch.zeros_like(self._words)
        return other

    def restrict(self, logits: Float[Tensor, " V"]) -> None:
        """Set the logits of all tokens that cannot come next to minus infinity."""
        self._matcher.unsafe_compute_mask_ptr(self._words.data_ptr(), 4 * len(self._words))
        self._check()
        allowed = ((self._words[:, None] >> self._bits) & 1).flatten()[: len(logits)].bool()
        if not bool(allowed.any()):
            raise UserError(f"{self._kind}: no token of this model goes on to a match; use a simpler one")
        logits[~allowed.to(logits.device)] = float("-inf")

    def accept(self, token: int) -> bool:
        """Take the next token; tell whether the output may go on after it."""
        self._matcher.consume_token(token)
        self._check()
        return not self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UserError(f"{self._kind}: {_brief(self._matcher.get_error())}; correct or simplify it")


def _check_length(kind: str, text: str) -> None:
    if len(text) > LONGEST:
        raise UserError(f"{kind}: {len(text):,} characters; at most {LONGEST:,}")


def _brief(told: str) -> str:
    """Return the first line of a message, without what only its program can use."""
    lines: Sequence[str] = [line.strip() for line in told.strip().splitlines() if line.strip()]
    return (lines[0] if lines else "cannot be used")[:300].rstrip(".")
