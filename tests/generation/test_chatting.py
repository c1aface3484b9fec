"""`scratchlm chat` on a terminal: Ctrl-C ends an answer, at the prompt the chat."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scratchlm.generation.commands import talk
from scratchlm.generation.config import ChatConfig, SamplingConfig
from scratchlm.generation.language_model import LanguageModel
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Take Ctrl-C, which a job in the background of a shell begins by ignoring."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


class Terminal:
    """A terminal at which these lines are typed; a function is called in place of typing."""

    def __init__(self, *lines: str | Callable[[], None]) -> None:
        self.lines = list(lines)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        line = self.lines.pop(0) if self.lines else ""
        if callable(line):
            line()
            return ""
        return line


class Interrupted(LanguageModel):
    """Writes twenty letters to the first message, interrupted after three of them, and as many to the next."""

    heard: list[list[dict[str, str]]]

    def stream_reply(self, conversation: Any, **changes: Any) -> Iterator[str]:
        self.heard.append([dict(turn) for turn in conversation])
        for number in range(20):
            if len(self.heard) == 1 and number == 2:
                interrupt()
            yield "abcdefghijklmnopqrst"[number]


def model() -> Interrupted:
    tokenizer = byte_tokenizer()
    saved = SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=200)), tokenizer)
    saved.template = ChatTemplate(tokenizer)
    made = Interrupted(saved)
    made.heard = []
    return made


CONFIG = ChatConfig(model=Path("none"), sampling=SamplingConfig())


def test_an_interrupted_answer_ends_and_the_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("sys.stdin", Terminal("one\n", "two\n"))
    left = model()
    talk(left, CONFIG)
    out, err = capsys.readouterr()
    assert out == "abc\nabcdefghijklmnopqrst\n"
    assert "Ctrl-C ends an answer, an empty line the chat" in err
    assert left.heard[1] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "abc"},
        {"role": "user", "content": "two"},
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_the_prompt_and_the_end_of_input_leave_in_peace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lines in (("one\n", interrupt, "never\n"), ("one\n",), ("one\n", "\n", "never\n")):
        monkeypatch.setattr("sys.stdin", Terminal(*lines))
        left = model()
        talk(left, CONFIG)  # returns
        assert len(left.heard) == 1
        capsys.readouterr()


def test_a_second_interruption_of_one_answer_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(Interrupted):
        def stream_reply(self, conversation: Any, **changes: Any) -> Iterator[str]:
            interrupt()
            interrupt()
            yield "never"

    left = Stubborn(model().saved)
    monkeypatch.setattr("sys.stdin", Terminal("one\n"))
    with pytest.raises(KeyboardInterrupt):
        talk(left, CONFIG)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_terminal_an_interruption_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(isatty=lambda: False, readline=Terminal("one\n").readline)
    monkeypatch.setattr("sys.stdin", cast(Any, stdin))
    with pytest.raises(KeyboardInterrupt):
        talk(model(), CONFIG)
