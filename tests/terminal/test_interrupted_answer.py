"""Ctrl-C and typing while an answer is drawn: nothing is shown twice, and nothing is lost.

The command is the real one. The model behind an address that answers it writes numbered words as long as it is read.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from marks import slow
from terminal.pseudo import Terminal

HINT = "Ask something; Ctrl-C ends an answer, an empty line the chat, /help lists commands. > "
WORD = re.compile(r"word\d+x")


class Numbering(BaseHTTPRequestHandler):
    """Answers with as many words `word0x word1x ...` as the message says, in paragraphs of 60 words."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for number in range(int(body["messages"][-1]["content"])):
                piece = f"word{number}x" + ("\n\n" if number % 60 == 59 else " ")
                part = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
                choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
                self.wfile.write(f"data: {json.dumps({**part, 'choices': [choice]})}\n\n".encode())
                self.wfile.flush()
                time.sleep(0.02)  # as fast as a small model writes
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def talking(columns: int) -> Iterator[Terminal]:
    """Start a chat with the numbering model, and wait until it asks for a message."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Numbering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.daemon_threads = True
    try:
        with Terminal("chat", "m", "--url", f"http://127.0.0.1:{server.server_port}/v1", columns=columns) as terminal:
            terminal.wait_until(lambda lines: asks(lines, 1), "the first prompt")
            yield terminal
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asks(lines: list[str], times: int) -> bool:
    """Whether a message is asked for, for so many times."""
    return bool(lines) and lines[-1] == ">" and sum(line.startswith(">") for line in lines) == times


@pytest.mark.parametrize(("columns", "written"), [(40, 3), slow(80, 3), slow(40, 45), (80, 45), (40, 75), slow(80, 75)])
def test_no_word_of_an_interrupted_answer_is_shown_twice_or_lost(columns: int, written: int) -> None:
    with talking(columns) as terminal:
        terminal.type("1000000")
        terminal.wait_until(lambda lines: any(f"word{written}x" in line for line in lines), f"word {written}")
        terminal.press(b"\x03")
        terminal.wait_until(lambda lines: asks(lines, 2), "the next prompt")
        lines = terminal.screen.texts
        assert " ".join(lines).startswith(HINT)
        words = [int(word[4:-1]) for line in lines for word in WORD.findall(line)]
        assert words == list(range(len(words))), lines
        assert len(words) > written
        assert re.fullmatch(r"\(\d+ tokens, [\d.]+ tokens/s\)", lines[-2])
        assert Counter(lines).most_common(1)[0][1] == 1, lines
        terminal.type("/exit")
        assert terminal.end() == 0
        assert "\\x1b" not in terminal.shown
        assert terminal.echoes


def test_what_is_typed_while_an_answer_is_drawn_is_the_next_message_and_spoils_nothing() -> None:
    with talking(80) as terminal:
        terminal.type("100")
        terminal.wait_until(lambda lines: any("word15x" in line for line in lines), "an answer of two lines")
        terminal.type("/seed 7")
        terminal.wait_until(lambda lines: "seed 7" in lines and asks(lines, 3), "what the command says")
        lines = terminal.screen.texts
        assert [int(word[4:-1]) for line in lines for word in WORD.findall(line)] == list(range(100)), lines
        terminal.press(b"\x04")
        assert terminal.end() == 0
