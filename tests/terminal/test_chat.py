"""A chat on a terminal of 80 and of 40 columns: what ends it, messages of several lines, and stdin that is closed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from marks import slow
from scratchlm.generation.screen import read_line
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, save_model
from terminal.pseudo import Terminal
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that has learned conversations."""
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=200))
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, SavedModel(decoder, tokenizer, ChatTemplate(tokenizer)))
    return folder


def wait_for_prompt(terminal: Terminal, number: int, beginning: str = ">") -> None:
    """Wait until a line is asked for, for the so manieth time."""
    terminal.wait_until(
        lambda lines: lines[-1:] == [beginning] and sum(line.startswith(beginning) for line in lines) == number,
        f"prompt {number}",
    )


@pytest.mark.parametrize("columns", [slow(80), 40])
def test_a_message_of_several_lines_ends_at_its_quotes_and_exit_ends_the_chat(
    model: Path, columns: int, tmp_path: Path
) -> None:
    talk = tmp_path / "t.json"
    with Terminal("chat", model, "--max-tokens", "1", "--raw", columns=columns) as terminal:
        messages = []
        for lines, message in (
            (["one line"], "one line"),
            (['"""', "a", "", "b", '"""'], "a\n\nb"),
            (['"""on one line"""'], "on one line"),
            (['"""a', 'b"""'], "a\nb"),
        ):
            terminal.wait_for("> ")
            for place, line in enumerate(lines):
                if place:
                    terminal.wait_for(". ")
                terminal.type(line)
            messages.append(message)
            terminal.wait_for("(1 tokens, ")
        terminal.wait_for("> ")
        terminal.type(f"/save {talk}")
        terminal.wait_for("8 messages written to")
        terminal.type("/exit")
        assert terminal.end() == 0
    stored = json.loads(talk.read_text(encoding="utf-8"))["messages"]
    assert [turn["content"] for turn in stored if turn["role"] == "user"] == messages


@pytest.mark.parametrize("columns", [80, slow(40)])
def test_the_line_that_is_edited_takes_messages_of_several_lines_too(model: Path, columns: int, tmp_path: Path) -> None:
    with Terminal("chat", model, "--max-tokens", "1", columns=columns) as terminal:
        wait_for_prompt(terminal, 1)
        terminal.type('"""a')
        wait_for_prompt(terminal, 1, ".")
        terminal.type("")
        wait_for_prompt(terminal, 2, ".")
        terminal.type('b"""')
        wait_for_prompt(terminal, 2)
        terminal.type(f"/save {tmp_path / 't.json'}")
        terminal.wait_until(lambda lines: "2 messages written" in " ".join(lines), "what was saved")
        assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["messages"][0]["content"] == "a\n\nb"
        terminal.type("/help")
        terminal.wait_until(lambda lines: "the same ends it" in " ".join(lines), "help")
        shown = " ".join(" ".join(terminal.screen.texts).split())
        assert "what else might have been written at each token of the last answer" in shown
        assert "Ctrl-C ends an answer, an empty line the chat, /help lists commands." in shown
        terminal.type("/exit")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("raw", "keys"), [(False, b"\x04"), slow(False, b"\x03"), slow(True, b"\x04"), (True, b"\x03")]
)
def test_ctrl_d_and_ctrl_c_within_a_message_end_the_chat_in_peace(model: Path, raw: bool, keys: bytes) -> None:
    with Terminal("chat", model, *["--raw"] * raw) as terminal:
        wait_for_prompt(terminal, 1)
        terminal.type('"""begun')
        wait_for_prompt(terminal, 1, ".")
        terminal.press(keys)
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown
        assert "\\x1b" not in terminal.shown
        assert terminal.echoes


def test_ctrl_c_while_the_prompt_is_shown_ends_the_chat_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    class InterruptedStream(io.StringIO):
        def flush(self) -> None:
            if self.getvalue() == "> ":
                raise KeyboardInterrupt

    monkeypatch.setattr("sys.stderr", InterruptedStream())
    assert read_line(further=False) is None


def test_a_closed_stdin_is_the_end_of_the_input(model: Path) -> None:
    command = [sys.executable, "-m", "scratchlm", "chat", str(model)]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Traceback" not in done.stderr
