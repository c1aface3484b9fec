"""`scratchlm generate` and `scratchlm chat`: text to stdout as it is written."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from scratchlm.base.device import set_threads
from scratchlm.base.errors import UserError
from scratchlm.base.signals import StopRequest, stop_on_signals
from scratchlm.base.terminal import one_line, raw
from scratchlm.generation.config import ChatConfig, GenerateConfig, ResolvedChatConfig
from scratchlm.generation.language_model import LanguageModel, load, resolve_sampling


def generate(config: GenerateConfig) -> None:
    """Write the completion alone to stdout, piece by piece; what `config` leaves open is as the model was saved."""
    sampling = resolve_sampling(config).sampling
    set_threads(config.threads)
    model = load(config.model, config.device)
    pieces = model.stream(config.prompt, **dataclasses.asdict(sampling))
    if config.json:
        print(json.dumps({"prompt": config.prompt, "completion": "".join(pieces)}, ensure_ascii=False))
        return
    place = raw(sys.stdout) if config.raw else sys.stdout
    for piece in pieces:
        print(piece, end="", flush=True, file=place)
    print()


def chat(config: ChatConfig) -> None:
    """Answer messages from stdin until its end; with `--message`, answer that one."""
    resolved = resolve_sampling(config)
    set_threads(config.threads)
    talk(load(config.model, config.device), resolved)


def talk(model: LanguageModel, config: ResolvedChatConfig) -> None:
    """Hold a conversation on the terminal; an empty line, Ctrl-C at the prompt or the end of input ends it.

    Ctrl-C during an answer ends the answer alone: what was written of it stays in the conversation. What no longer fits
    the context is forgotten, the oldest turns first, and said so. A model that has learned no conversations continues
    each message as text, and that is said too.
    """
    conversation: list[dict[str, str]] = []
    settings = dataclasses.asdict(config.sampling)
    interactive = sys.stdin.isatty() and config.message is None
    learned = model.saved.template is not None
    if not learned:
        print("(it has learned no conversations, so it continues your words as text)", file=sys.stderr)
    if interactive:
        print("Ask something; Ctrl-C ends an answer, an empty line the chat.", file=sys.stderr)
    while True:
        message = config.message if config.message is not None else _read(interactive)
        if not message:
            return
        conversation.append({"role": "user", "content": message})
        if learned and _forget(model, conversation):
            print("(the oldest turns no longer fit the context and are forgotten)", file=sys.stderr)
        try:
            pieces = model.reply(conversation, **settings) if learned else model.stream(message, **settings)
            answer = _write(pieces, interactive, raw(sys.stdout) if config.raw else sys.stdout)
        except UserError as error:
            if not interactive:
                raise
            conversation.pop()
            print(one_line(f"scratchlm: {error}"), file=sys.stderr)
            continue
        if config.message is not None:
            return
        conversation.append({"role": "assistant", "content": answer})


def _write(pieces: Iterator[str], interactive: bool, place: Any) -> str:
    """Write an answer as it comes and return it; on a terminal, Ctrl-C ends it after the token in hand."""
    answer = ""
    with stop_on_signals(signal.SIGINT) if interactive else nullcontext(StopRequest()) as stop:
        for piece in pieces:
            answer += piece
            print(piece, end="", flush=True, file=place)
            if stop.requested:
                break
    print()
    return answer


def _read(interactive: bool) -> str:
    """Return the next message; empty at the end of input, and after Ctrl-C at the prompt."""
    if not interactive:
        return sys.stdin.readline().strip()
    print("> ", end="", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        print(file=sys.stderr)  # what comes next begins a line
    return line.strip()


def _forget(model: LanguageModel, conversation: list[dict[str, str]]) -> bool:
    """Drop the oldest turns until the conversation leaves a quarter of the context for the answer."""
    template, context, turns = model.saved.template, model.decoder.config.context, len(conversation)
    assert template is not None
    while len(conversation) > 2 and len(template.render(conversation, reply=True).ids) > 3 * context // 4:
        del conversation[:2]
    return len(conversation) < turns
