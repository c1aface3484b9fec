"""Untrusted templates: the same rendering as in this process, and one-line errors for what they must not do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from scratchlm.base.errors import UserError
from scratchlm.tokens import templating
from scratchlm.tokens.chat import CHATML, ChatTemplate
from toys import byte_tokenizer

TALK = [{"role": "user", "content": "Hi <|im_end|>"}, {"role": "assistant", "content": "Yes"}]


def rendered(source: str) -> list[int]:
    return ChatTemplate(byte_tokenizer(), source).render(TALK).ids


def test_an_untrusted_template_renders_as_our_own_does() -> None:
    assert rendered(CHATML + "{# another #}") == rendered(CHATML)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% for i in range(10**12) %}a{% endfor %}", "MAX_RANGE"),
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a' | center(10**10) }}", "memory"),
        ("{{ '%999999999999d' % 1 }}", "memory"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ raise_exception('two\nlines') }}", "two lines"),
        ("{% for message in %}", "Expected an expression"),
        ("{{ messages[0].nothing.at.all }}", "no attribute"),
        ("{{ 1 // 0 }}", "zero"),
    ],
)
def test_a_template_that_fails_or_needs_too_much_gives_a_one_line_error(source: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^chat template: .*{said}") as caught:
        rendered(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ lipsum(n=99999999) }}",
], ids=["loops", "in one call"])  # fmt: skip
def test_an_endless_template_is_stopped_and_the_next_one_works(source: str, monkeypatch) -> None:
    monkeypatch.setattr(templating, "PATIENCE", 1.0)
    began = time.monotonic()
    with pytest.raises(UserError, match="takes over"):
        rendered(source)
    assert time.monotonic() - began < 30
    monkeypatch.setattr(templating, "PATIENCE", 60.0)
    assert rendered(CHATML + " {# again #}")


def test_one_process_renders_one_conversation_after_the_other() -> None:
    rendered("{{ messages[0]['content'] }}")
    first = templating.worker(templating.os.getpid())
    rendered("{{ messages[1]['content'] }}")
    assert templating.worker(templating.os.getpid()) is first


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_neither_an_interrupt_nor_the_end_of_the_process_costs_a_conversation() -> None:
    def rendered() -> str:
        return templating.render_sandboxed("{{ a }}", {"a": "said"})

    assert rendered() == "said"
    mine = templating.worker(os.getpid()).process
    os.kill(mine.pid, signal.SIGINT)  # as Ctrl-C on a terminal does
    assert rendered() == "said"
    assert templating.worker(os.getpid()).process is mine
    mine.kill()
    mine.wait()
    assert rendered() == "said"


def test_the_worker_is_closed_when_its_process_ends_and_not_when_a_fork_of_it_does() -> None:
    program = """
import os
from scratchlm.tokens.templating import render_sandboxed
assert render_sandboxed("{{ a }}", {"a": 1}) == "1"
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        raise SystemExit
    os.waitpid(child, 0)
assert render_sandboxed("{{ a }}", {"a": 2}) == "2"
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
