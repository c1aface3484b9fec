"""Constrained decoding: an output that must match a regular expression or a JSON schema.

Before each token, all tokens that could not go on to a match are ruled out. llguidance decides which: it walks a tree
of the vocabulary beside its parser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.grammar_trial import GrammarTrial, TokenTable, brief, compiled
from scratchlm.tokens.base import Tokenizer

LONGEST = 100_000
"""Most characters of a regular expression or a schema."""
LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON on one line, as `json.dumps` writes it: with free white space a weak model may write nothing else."""


class Grammars:
    """Makes grammars for the tokens of one model, and what ends its texts.

    Each is tried in a process with limits on time and memory first (`grammar_trial.py`), since a short one may take
    practically forever. A `Trial` that is handed over can be cancelled from another thread.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, stop_ids: frozenset[int] = frozenset()) -> None:
        """`vocabulary` is the number of the model's logits."""
        self._from, self._vocabulary, self._stop_ids = tokenizer, vocabulary, stop_ids

    @cached_property
    def _table(self) -> TokenTable:
        special = sorted(self._from.specials.values())
        if not self._stop_ids and not special:
            raise UserError("a grammar: the tokenizer has no special token, so no output can end; use one that has")
        tokens = [b"" if each is None else each for each in self._from.table]
        stops = sorted(self._stop_ids) or special[:1]
        return TokenTable(tokens, special, stops, self._vocabulary, self._from.begin_of_text)

    @cached_property
    def _tokens(self) -> Any:
        return self._table.compiled(self._from.encode)

    def regex(self, pattern: str, trial: GrammarTrial | None = None) -> Matcher:
        """Return what holds an output to a regular expression, from its first character to its last.

        Raises `UserError` for one that cannot be read, or takes too much time or memory.
        """
        import llguidance

        _check_length("regular expression", pattern)
        return self._matcher(llguidance.LLMatcher.grammar_from_regex(pattern), "regular expression", trial)

    def json_schema(self, schema: Mapping[str, Any] | bool, trial: GrammarTrial | None = None) -> Matcher:
        """Return what holds an output to a JSON schema (draft 2020-12; `docs/serving.md` lists what is refused).

        Raises `UserError` for one that cannot be read, asks for what cannot be held, or takes too much time or memory.
        """
        import llguidance

        text = json.dumps(schema)
        _check_length("JSON schema", text)
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=LAYOUT)
        except ValueError as error:
            raise UserError(f"JSON schema: {brief(str(error))}; correct it") from error
        return self._matcher(grammar, "JSON schema", trial)

    def _matcher(self, grammar: str, kind: str, trial: GrammarTrial | None) -> Matcher:
        (trial or GrammarTrial()).run(self._table, grammar, kind)
        return Matcher(self._tokens, grammar, kind)

    def any_json(self, trial: GrammarTrial | None = None) -> Matcher:
        """Return what holds an output to a JSON object."""
        return self.json_schema({"type": "object"}, trial)


class Matcher:
    """Where an output is in its grammar. One for each output."""

    def __init__(self, tokens: Any, grammar: str, kind: str) -> None:
        self._kind = kind
        self._matcher = compiled(tokens, grammar)
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
        """Take the next token; return whether the output may go on after it."""
        self._matcher.consume_token(token)
        self._check()
        return not self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UserError(f"{self._kind}: {brief(self._matcher.get_error())}; correct or simplify it")


def _check_length(kind: str, text: str) -> None:
    if len(text) > LONGEST:
        raise UserError(f"{kind}: {len(text):,} characters; at most {LONGEST:,}")
