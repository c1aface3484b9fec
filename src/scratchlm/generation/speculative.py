"""Speculative decoding: cheap guesses of the next tokens, which the model checks together in one step.

A step with several tokens of one text takes little longer than one with a single token, because both read all weights
once. So each guess that is right saves a step, and one that is wrong costs little. The output stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.requests import Request
from scratchlm.model.decoder import Decoder

LONGEST, SHORTEST = 4, 2
"""Tokens at the end of a text that are looked for further up."""
GUESSES = 3
"""Tokens that are proposed at once: with the newest one they fill four rows of a step."""


class PromptLookup:
    """Proposes what followed the last tokens of the text where they stood before: for texts that quote their prompt.

    Source: A. Saxena 2023, "Prompt Lookup Decoding", the `prompt_lookup_num_tokens` of transformers.
    """

    def __init__(self, guesses: int = GUESSES) -> None:
        self.guesses = guesses
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """Where the newest occurrence of some tokens ends, the end of the text left out."""

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return what followed the longest end of `ids` that stood there before."""
        self._read(ids)
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._after.get(tuple(ids[-size:])) if len(ids) > size else None
            if place is not None:
                return list(ids[place : place + min(self.guesses, most)])
        return []

    def _read(self, ids: Sequence[int]) -> None:
        """Note the places of all tokens but those at the very end, which is what is looked for."""
        known = len(self._ids)
        if list(ids[:known]) != self._ids:
            self._after, known = {}, 0
        for end in range(max(known, SHORTEST), len(ids)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._after[tuple(ids[end - size : end])] = end
        self._ids = list(ids)


class DraftModel:
    """Proposes the likeliest tokens of a smaller model with the same tokenizer."""

    def __init__(self, draft: Decoder, guesses: int = GUESSES, *, compiled: bool = False) -> None:
        self._engine, self.guesses = Engine(draft, rows=1, compiled=compiled), guesses

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return how the smaller model goes on; nothing where the text fills its context."""
        size = min(self.guesses, most, self._engine.context - len(ids))
        if size <= 0:
            return []
        request = Request(ids, SamplingConfig(max_tokens=size, temperature=0.0))
        try:
            self._engine.finish([request])
        except UserError:  # ids that it does not have, or a training that diverged: no guess
            return []
        return request.new


def require_same_tokens(model: str, draft: str) -> None:
    """Refuse a draft model whose ids mean other tokens; arguments are the fingerprints of the two tokenizers."""
    if model != draft:
        raise UserError(
            f"draft model: its tokenizer is {draft[:12]}, the model's {model[:12]}; "
            "give a draft model that was trained with the model's tokenizer"
        )
