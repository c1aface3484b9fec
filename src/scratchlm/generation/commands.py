"""`scratchlm generate` and `scratchlm chat`: text to stdout as it is written."""

from __future__ import annotations

import dataclasses
import json
import sys

from scratchlm.base.device import set_threads
from scratchlm.base.errors import UserError
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
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def chat(config: ChatConfig) -> None:
    """Answer messages from stdin until its end; with `--message`, answer that one."""
    resolved = resolve_sampling(config)
    set_threads(config.threads)
    talk(load(config.model, config.device), resolved)


def talk(model: LanguageModel, config: ResolvedChatConfig) -> None:
    """Hold a conversation on the terminal; an empty line or the end of input ends it.

    What no longer fits the context is forgotten, the oldest turns first, and said so. A model that has learned no
    conversations continues each message as text, and that is said too.
    """
    conversation: list[dict[str, str]] = []
    settings = dataclasses.asdict(config.sampling)
    interactive = sys.stdin.isatty() and config.message is None
    learned = model.saved.template is not None
    if not learned:
        print("(it has learned no conversations, so it continues your words as text)", file=sys.stderr)
    if interactive:
        print("Ask something; an empty line ends the chat.", file=sys.stderr)
    while True:
        message = config.message if config.message is not None else _read(interactive)
        if not message:
            return
        conversation.append({"role": "user", "content": message})
        if learned and _forget(model, conversation):
            print("(the oldest turns no longer fit the context and are forgotten)", file=sys.stderr)
        answer = ""
        try:
            for piece in model.reply(conversation, **settings) if learned else model.stream(message, **settings):
                answer += piece
                print(piece, end="", flush=True)
        except UserError as error:
            if not interactive:
                raise
            conversation.pop()
            print(f"scratchlm: {error}", file=sys.stderr)
            continue
        print()
        if config.message is not None:
            return
        conversation.append({"role": "assistant", "content": answer})


def _read(interactive: bool) -> str:
    if interactive:
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _forget(model: LanguageModel, conversation: list[dict[str, str]]) -> bool:
    """Drop the oldest turns until the conversation leaves a quarter of the context for the answer."""
    template, context = model.saved.template, model.decoder.config.context
    assert template is not None
    forgotten = False
    while len(conversation) > 2 and len(template.render(conversation, reply=True).ids) > 3 * context // 4:
        del conversation[:2]
        forgotten = True
    return forgotten
