"""Grammars tried in a process with limits before they are compiled here.

Some grammars take practically forever to compile (`{"type": "integer", "multipleOf": 62615533}` needs an automaton of
as many states), and llguidance can neither be interrupted nor does its own limit on work count this. A compiled grammar
cannot be sent to another process either. So a process of `base/limited.py` compiles a grammar first and computes its
first mask; where that stays within the limits, it does so here too. Later masks are within llguidance's own limits
(`LIMITS`), some 0.1 s at most.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.limited import LimitedProcess, LimitExceededError, answer_questions

SECONDS = 2.0
"""Seconds of CPU time to compile a grammar; a schema of 200,000 characters needs a tenth of one."""
PATIENCE = 60.0
"""Seconds by the clock, for a busy machine and for systems without a limit on CPU time."""
MEMORY = 1 << 29
"""Bytes of address space of a process, Python and the tokens included."""
PROCESSES = 2
"""Grammars that are tried at the same time."""
LIMITS: dict[str, Any] = {"max_lexer_states": 50_000, "step_lexer_fuel": 200_000, "verbose_errors": False}
"""llguidance's limits: states of an automaton (1 to 2 KB each), work for one mask; no dump of the parser in errors."""

WRONG_REGEX = re.compile(
    r"regex parse error:\n    (?P<regex>.*)\n    (?P<before> *)\^+\n(?:.*\n)*?error: (?P<reason>.*)"
)
"""How llguidance says what is wrong with a regular expression: a line with it, one that points into it, the reason."""
UNKNOWN_KEYWORDS = re.compile(r"Unimplemented keys: \[(.*)\]")


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The tokens of one model as llguidance takes them."""

    tokens: list[bytes]
    special_ids: list[int]
    stop_ids: list[int]
    vocabulary: int
    """Number of the model's logits."""
    begin_id: int | None = None

    def compiled(self, encode: Callable[[str], list[int]]) -> Any:
        """Return the tree of all tokens that grammars are compiled for; takes about a second for 200,000 tokens."""
        import llguidance

        wrapped: Any = _Wrapped(self, encode)
        return llguidance.LLTokenizer(wrapped, n_vocab=self.vocabulary, eos_token=self.stop_ids)

    def question(self) -> dict[str, Any]:
        """Return what gives a process the tokens."""
        return vars(self) | {"tokens": [each.decode("latin-1") for each in self.tokens]}


class _Wrapped:
    """A tokenizer as llguidance asks for it."""

    is_tokenizer_wrapper = True

    def __init__(self, table: TokenTable, encode: Callable[[str], list[int]]) -> None:
        self.tokens, self.special_token_ids = table.tokens, table.special_ids
        self.eos_token_id, self.bos_token_id = table.stop_ids[0], table.begin_id
        self._encode = encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


class GrammarTrial:
    """One grammar being tried; any thread may cancel it."""

    def __init__(self) -> None:
        self.cancelled = False
        self._process: LimitedProcess | None = None
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """End it at once: nobody waits for it any more."""
        with self._lock:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self, table: TokenTable, grammar: str, kind: str) -> None:
        """Try a grammar out. Raises `UserError` for one that cannot be used, or takes too much time or memory."""
        with _pool(os.getpid()).process(table) as process:
            try:
                with self._lock:
                    self._process = process
                if self.cancelled:
                    raise UserError(f"{kind}: nobody waits for it any more")
                answer = process.ask({"grammar": grammar}, PATIENCE)
            except LimitExceededError as error:
                raise UserError(
                    f"{kind}: {error} to be compiled, which is the limit; "
                    "use a simpler one, with smaller numbers in multipleOf, repetitions and lengths"
                ) from error
            finally:
                with self._lock:
                    self._process = None
                if self.cancelled:
                    process.close()
        if "error" in answer:
            raise UserError(f"{kind}: {answer['error']}; correct or simplify it")


class _Pool:
    """At most `PROCESSES` processes, each with the tokens of one model; one that ended is replaced."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[tuple[TokenTable, LimitedProcess]] = []

    @contextmanager
    def process(self, table: TokenTable) -> Iterator[LimitedProcess]:
        """Give a process that knows these tokens; waits while all are at work."""
        with self._room:
            process = self._take(table)
            try:
                yield process
            finally:
                if process.process.poll() is None:
                    with self._lock:
                        self._idle.append((table, process))
                else:
                    process.close()

    def _take(self, table: TokenTable) -> LimitedProcess:
        with self._lock:
            ended = [each for each in self._idle if each[1].process.poll() is not None]
            self._idle = [each for each in self._idle if each not in ended]
            at = next((at for at, (known, _) in enumerate(self._idle) if known is table), None)
            if at is not None:
                return self._idle.pop(at)[1]
            ended += [self._idle.pop(0)] if len(self._idle) == PROCESSES else []
        for _, process in ended:
            process.close()
        process = LimitedProcess(__name__, SECONDS, MEMORY)
        try:
            process.ask(table.question(), PATIENCE)
        except LimitExceededError as error:
            raise UserError(f"a grammar: the tokenizer {error}; use a model with a smaller vocabulary") from error
        return process


@functools.lru_cache(maxsize=1)
def _pool(_: int) -> _Pool:
    """Return the processes of the process with this id: a fork must not share its parent's."""
    return _Pool()


def compiled(tokens: Any, grammar: str) -> Any:
    """Return llguidance's matcher of a grammar; it may be in an error state."""
    import llguidance

    return llguidance.LLMatcher(tokens, grammar, log_level=0, limits=llguidance.LLParserLimits(**LIMITS))


class _Answerer:
    """What a process does: take the tokens, then try grammars."""

    def __init__(self) -> None:
        self._tokens: Any = None
        self._ids: dict[bytes, int] = {}
        self._longest = 0

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if "grammar" not in question:
            tokens = [each.encode("latin-1") for each in question["tokens"]]
            special = set(question["special_ids"])
            self._ids = {token: id for id, token in enumerate(tokens) if token and id not in special}
            self._longest = max(map(len, tokens))
            self._tokens = TokenTable(**(question | {"tokens": tokens})).compiled(self._encode)
            return {}
        matcher = compiled(self._tokens, question["grammar"])
        if not matcher.is_error():
            matcher.compute_bitmask()
        return {"error": brief(matcher.get_error())} if matcher.is_error() else {}

    def _encode(self, text: str) -> list[int]:
        """Return ids of a text, the longest token first: other ids than the model's, but as good for a first mask."""
        rest, ids = text.encode(), []
        while rest:
            size = next((size for size in range(self._longest, 0, -1) if rest[:size] in self._ids), 1)
            ids += [self._ids[rest[:size]]] if rest[:size] in self._ids else []
            rest = rest[size:]
        return ids


def brief(message: str) -> str:
    """Return the reason in a message of llguidance, on one line, with the place in a regular expression."""
    wrong = WRONG_REGEX.search(message)
    if wrong is not None:
        at = len(wrong["before"])
        return f"{wrong['reason']}, at character {at + 1}: {_shortened(wrong['regex'][at:], 60)}"
    if (unknown := UNKNOWN_KEYWORDS.match(message)) is not None:
        return f"cannot be held to {', '.join(sorted(unknown[1].split(', ')))}"  # they come in any order
    first = next((line.strip() for line in message.splitlines() if line.strip()), "cannot be used")
    _, _, reason = first.rpartition(" (in regex): ")  # what stands before and behind it repeats the expression
    return _shortened(reason.split(" in regex /")[0].rstrip("."), 300)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


if __name__ == "__main__":
    answer_questions(_Answerer().answer)
