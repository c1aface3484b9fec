"""`scratchlm generate` and `scratchlm chat`: text to stdout as it is written."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

from scratchlm.base.device import set_threads
from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json
from scratchlm.base.progress import CountedProgress
from scratchlm.base.reading import require_table
from scratchlm.base.signals import StopRequest, stop_on_signals
from scratchlm.base.terminal import one_line, raw, say, without_echo
from scratchlm.generation.chatting import EXIT, QUOTES, Chat
from scratchlm.generation.compiling import worth_compiling
from scratchlm.generation.config import ChatConfig, GenerateConfig
from scratchlm.generation.language_model import LanguageModel, load, sampling_of
from scratchlm.generation.requests import Drafter, Extras, Grammar
from scratchlm.generation.screen import MarkdownScreen, Prompt, read_line
from scratchlm.generation.speakers import LocalSpeaker, RemoteSpeaker, Speaker
from scratchlm.generation.speculative import DraftModel, PromptLookup, WhileFaster, require_same_tokens


def generate(config: GenerateConfig) -> None:
    """Write the completion alone to stdout, piece by piece; what `config` leaves open is as the model was saved."""
    sampling = sampling_of(config)
    set_threads(config.threads)
    model = load(config.model, config.device)
    settings = dataclasses.asdict(sampling)
    if config.beams:
        with CountedProgress(f"{config.beams:,} beams", sampling.max_tokens, "tokens at most") as progress:
            beams = model.beams(config.prompt, config.beams, after=progress.reached, **settings)
        pieces, request = iter([beams[0][0]]), None
    else:
        request = model.request(config.prompt, extras=_extras(config, model), **settings)
        pieces = model.write(request)
    if config.json:
        print(json.dumps({"prompt": config.prompt, "completion": "".join(pieces)}, ensure_ascii=False))
    else:
        place = raw(sys.stdout) if config.raw else sys.stdout
        for piece in pieces:
            print(piece, end="", flush=True, file=place)
        print()
    if request is not None and isinstance(drafter := request.extras.drafter, WhileFaster):
        share = f"{request.agreed / request.proposed:.0%}" if request.proposed else "none"
        paused = "; they were slower, and paused" if drafter.pauses else ""
        print(
            f"({request.proposed} tokens were guessed, {share} rightly, for {len(request.new)} written{paused})",
            file=sys.stderr,
        )


def _extras(config: GenerateConfig, model: LanguageModel) -> Extras:
    """Return what a completion must match, and who guesses its tokens."""
    drafter: Drafter | None = PromptLookup() if config.lookup else None
    if config.draft is not None:
        saved = load(config.draft, config.device)
        require_same_tokens(model.tokenizer.fingerprint, saved.tokenizer.fingerprint)
        drafter = DraftModel(saved.decoder, compiled=worth_compiling(saved.decoder))
    grammar: Grammar | None = model.grammars().regex(config.regex) if config.regex is not None else None
    if config.json_schema is not None:
        schema = read_json(config.json_schema)
        grammar = model.grammars().json_schema(require_table(schema, str(config.json_schema)))
    return Extras(grammar=grammar, drafter=None if drafter is None else WhileFaster(drafter))


def chat(config: ChatConfig) -> None:
    """Answer messages from stdin until its end; with `--message`, answer that one."""
    if config.url is not None:
        converse(RemoteSpeaker(Endpoint(config.url, str(config.model))), config)
        return
    set_threads(config.threads)
    model = load(config.model, config.device)
    if config.message is None:
        LocalSpeaker(model).wake()
    talk(model, config)


def talk(model: LanguageModel, config: ChatConfig) -> None:
    """Hold a conversation with a model of this machine, as `converse` does."""
    converse(LocalSpeaker(model), config)


def converse(speaker: Speaker, config: ChatConfig) -> None:
    """Hold a conversation on the terminal; an empty line, Ctrl-C at the prompt or the end of input ends it.

    Ctrl-C during an answer ends the answer alone: what was written of it stays in the conversation. What no longer fits
    the context is forgotten, the oldest turns first, and said so. Lines that begin with a slash are commands.
    """
    session = Chat(speaker, sampling_of(config))
    interactive = sys.stdin.isatty() and config.message is None
    drawn = interactive and sys.stdout.isatty() and not config.raw
    if speaker.note:
        say(f"({speaker.note})")
    if interactive:
        say("Ask something; Ctrl-C ends an answer, an empty line the chat, /help lists commands.")
    read = Prompt(session.commands).read if drawn else read_line
    while True:
        message = config.message if config.message is not None else _message(read) if interactive else _read_plain()
        if not message or (interactive and message == EXIT):
            return
        try:
            if interactive and message.startswith("/"):
                say(session.command(message))
            else:
                _exchange(session, message, interactive, drawn, config)
        except UserError as error:
            if not interactive:
                raise
            print(one_line(f"scratchlm: {error}"), file=sys.stderr)
        if config.message is not None:
            return


def _exchange(session: Chat, message: str, interactive: bool, drawn: bool, config: ChatConfig) -> None:
    """Have a message answered; where that fails it is not part of the conversation."""
    session.turns.append({"role": "user", "content": message})
    answer, began = "", time.perf_counter()
    try:
        if session.speaker.forget(session.turns):
            say("(the oldest turns no longer fit the context and are forgotten)")
        pieces = session.speaker.answer(session.turns, session.sampling)
        if config.json:
            print(json.dumps({"message": message, "reply": "".join(pieces)}, ensure_ascii=False))
            return
        answer = (
            _drawn(pieces) if drawn else _written(pieces, interactive, raw(sys.stdout) if config.raw else sys.stdout)
        )
    except UserError:
        session.turns.pop()
        raise
    session.turns.append({"role": "assistant", "content": answer})
    if interactive:
        count, seconds = session.speaker.count(answer), time.perf_counter() - began
        print(f"({count} tokens, {count / seconds:.1f} tokens/s)", file=sys.stderr)


def _drawn(pieces: Iterator[str]) -> str:
    """Draw an answer as Markdown as it comes and return it; Ctrl-C ends it after the token in hand."""
    with stop_on_signals(signal.SIGINT) as stop, without_echo(), MarkdownScreen() as screen:
        return _taken(pieces, screen.write, stop)


def _written(pieces: Iterator[str], interactive: bool, place: Any) -> str:
    """Write an answer as it comes and return it; at a terminal, Ctrl-C ends it after the token in hand."""
    with stop_on_signals(signal.SIGINT) if interactive else nullcontext(StopRequest()) as stop:
        answer = _taken(pieces, lambda piece: print(piece, end="", flush=True, file=place), stop)
    print()
    return answer


def _taken(pieces: Iterator[str], show: Callable[[str], None], stop: StopRequest) -> str:
    answer = ""
    for piece in pieces:
        answer += piece
        show(piece)
        if stop.requested:
            break
    return answer


def _message(read: Callable[[bool], str | None]) -> str:
    """Read a message: one line, or the lines from three quotes to the next three. Empty at the end of input."""
    line = read(False)
    if line is None or not line.strip().startswith(QUOTES):
        return (line or "").strip()
    lines = [line.strip().removeprefix(QUOTES)]
    while not lines[-1].rstrip().endswith(QUOTES):
        line = read(True)
        if line is None:
            return ""
        lines.append(line)
    return "\n".join(lines).rstrip().removesuffix(QUOTES).strip()


def _read_plain() -> str:
    return sys.stdin.readline().strip()
