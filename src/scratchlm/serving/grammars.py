"""What the answers to a request must match, compiled beside everything else: it may take seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from fastapi import Request

from scratchlm.generation.grammar import Matcher
from scratchlm.generation.grammar_trial import PROCESSES, GrammarTrial
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import Sampled
from scratchlm.serving.streams import leaving

MOST_WAITING = 16
"""Grammars that are compiled or wait for it; more are refused with status 429."""


class GrammarCompiler:
    """Compiles grammars in threads of its own, as many as there are processes to try them out."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(PROCESSES, "scratchlm-grammar")
        self._waiting = 0

    async def compile(self, body: Sampled, served: Served, request: Request) -> Matcher | None:
        """Return what answers must match, or None; where the client leaves before, it is cancelled.

        Raises `ApiError` and `UserError` for a grammar that cannot be used, and where too many wait.
        """
        job = _job(body, served)
        if job is None:
            return None
        if self._waiting >= MOST_WAITING:
            raise ApiError(429, f"{self._waiting} schemas or regular expressions wait to be compiled; ask later")
        trial, gone = GrammarTrial(), leaving(request)
        compiling = asyncio.get_running_loop().run_in_executor(self._threads, job, trial)
        self._waiting += 1
        compiling.add_done_callback(self._done)
        try:
            both: set[asyncio.Future[Any]] = {compiling, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if compiling.done():
                return compiling.result()
            raise ApiError(499, "the client has left")
        finally:
            gone.cancel()
            if not compiling.done():
                trial.cancel()
                compiling.cancel()

    def _done(self, compiling: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not compiling.cancelled():
            compiling.exception()  # marks it as seen


def _job(body: Sampled, served: Served) -> Callable[[GrammarTrial], Matcher] | None:
    """Return what compiles the grammar that a request asks for."""
    format = body.response_format
    asked = format is not None and format.type != "text"
    if body.guided_regex is not None:
        if asked:
            raise ApiError(400, "guided_regex: stands beside response_format; give one of them", param="guided_regex")
        return partial(served.grammars.regex, body.guided_regex)
    if format is None or not asked:
        return None
    if format.type == "json_object":
        return served.grammars.any_json
    if format.json_schema is None:
        raise ApiError(400, "response_format: has no json_schema; give one", param="response_format")
    return partial(served.grammars.json_schema, format.json_schema.schema_)
