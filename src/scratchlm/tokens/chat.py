"""Chat templates: messages to ids and loss mask, for training, evaluation, the terminal and the server.

The template (Jinja, as in transformers) defines the layout; the contents of messages are inserted afterwards as
ordinary text, so a message that spells a special token never becomes one. Contents are stripped, so that no merge spans
a header and a message, and the ids equal those of encoding the rendered text whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlm.base.errors import UserError, shortened
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import read_plain_text
from scratchlm.tokens.base import TURN_END
from scratchlm.tokens.templating import render_here, render_sandboxed

if TYPE_CHECKING:
    from scratchlm.tokens.base import Tokenizer

Message = Mapping[str, Any]
"""A role and its content, both text; where a template knows tools, calls of tools beside them."""
Conversation = Sequence[Message]

ROLES = ("system", "user", "assistant")
TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_LIMIT = 1 << 20
"""Most bytes of a template's file; the longest published one has 20,000."""

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + (message['content'] | trim) + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""ChatML, the template of Qwen2 and of this package's own models."""

PLAIN = (
    "{%- for message in messages -%}"
    "{{- message['role'] | capitalize + ':\\n' + (message['content'] | trim) -}}"
    "{{- (eos_token if message['role'] == 'assistant' else '') + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}"
)
"""A template for tokenizers without turn tokens, such as GPT-2's: the end of text ends an answer."""

# Placeholders of the messages' contents while the template runs: a number between private-use characters.
_MARK = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True)
class Rendered:
    """A conversation as ids, with a loss mask."""

    ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    """True for ids that carry loss: the assistant's messages and the tokens that end its turns."""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template with the tokenizer whose special tokens it uses."""

    tokenizer: Tokenizer
    source: str = CHATML

    @property
    def knows_tools(self) -> bool:
        """Whether the template has a place for tools and their answers."""
        return "tools" in self.source

    def render(
        self, conversation: Conversation, *, reply: bool = False, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Rendered:
        """Render messages to ids and mask; `reply` adds the header of the assistant's turn (the generation prompt).

        `tools` are descriptions of functions, as transformers gives them to templates. Raises `UserError` for a message
        without role or content, for an unknown role, and for a special token spelled in a tool.
        """
        _check(conversation)
        self._check_tools([tools, *[message.get("tool_calls") for message in conversation]])
        text = self._layout(conversation, reply, tools)
        if not set(_MARK.findall(text)) <= set(map(str, range(len(conversation)))):
            raise UserError(
                "chat template: writes a mark of a message itself; use the template that came with the model"
            )
        specials = self.tokenizer.specials
        pattern = "|".join(re.escape(name) for name in sorted(specials, key=len, reverse=True))
        rendered = Rendered()
        in_reply = False  # after an assistant's content: the next special token ends its turn and carries loss
        for piece in re.split(f"({pattern})", text) if pattern else [text]:
            if piece in specials:
                rendered.ids.append(specials[piece])
                rendered.mask.append(in_reply)
                in_reply = False
            else:
                in_reply = self._ordinary(piece, conversation, rendered)
        return rendered

    def _ordinary(self, piece: str, conversation: Conversation, rendered: Rendered) -> bool:
        """Append the text between two special tokens; return whether it ends in an assistant's content."""
        spoken = begun = False
        for index, part in enumerate(_MARK.split(piece)):
            if not part:
                continue  # nothing between two marks, or after the last: the content still ends the piece
            marked = index % 2 == 1
            spoken = marked and conversation[int(part)]["role"] == "assistant"
            text = conversation[int(part)]["content"].strip() if marked else part
            ids = self.tokenizer.encode_after(text) if begun else self.tokenizer.encode(text)
            begun = True
            rendered.ids.extend(ids)
            rendered.mask.extend([spoken] * len(ids))
        return spoken

    def _check_tools(self, tools: Sequence[Any]) -> None:
        """Refuse special tokens in what is laid out as it is: only contents of messages are inserted afterwards."""
        try:
            texts = list(_texts([each for each in tools if each]))
        except RecursionError:
            raise UserError("tools: are nested too deeply; give flatter ones") from None
        for name in (*self.tokenizer.specials, "\ue000", "\ue001"):
            if any(name in text for text in texts):
                raise UserError(f"tools: hold the special token {name}; leave it out")

    def _layout(self, conversation: Conversation, reply: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """Run the template on placeholders of the contents."""
        marked = [
            {**message, "content": "" if _only_calls(message) else f"\ue000{index}\ue001"}
            for index, message in enumerate(conversation)
        ]
        values = {
            "messages": marked,
            "add_generation_prompt": reply,
            "tools": list(tools) or None,
            "bos_token": self.tokenizer.ends.begin or "",
            "eos_token": self.tokenizer.ends.last or self.tokenizer.ends.end or "",
        }
        try:
            return (render_here if self.source in (CHATML, PLAIN) else render_sandboxed)(self.source, values)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"chat template: {reason}; use the template that came with the model") from error

    @classmethod
    def suited_to(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """Return ChatML where the tokenizer has its tokens, else the plain template.

        Raises `UserError` where it has neither these nor an end-of-text token, so that an answer could not end.
        """
        if TURN_END in tokenizer.specials:
            return cls(tokenizer, CHATML)
        if tokenizer.end_of_text is None:
            raise UserError("tokenizer: has no token that could end an answer; train one with its special tokens")
        return cls(tokenizer, PLAIN)

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end the assistant's turn; further ones of an imported model are in its generation settings."""
        ids = (self.tokenizer.specials.get(TURN_END), self.tokenizer.end_of_text)
        return frozenset(id for id in ids if id is not None)


def _only_calls(message: Message) -> bool:
    """Return whether a message calls tools and says nothing: templates ask whether its content is empty."""
    return bool(message.get("tool_calls")) and not message["content"].strip()


def _texts(part: Any) -> Iterator[str]:
    """Yield all texts of a value of JSON, the names in it too."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(part, Sequence):
        for each in part:
            yield from _texts(each)


def as_conversation(messages: str | Conversation) -> Conversation:
    """Return messages, of a text the one in which a user says it. Raises `UserError` for what is neither."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    listed = isinstance(messages, Sequence) and all(isinstance(each, Mapping) for each in messages)
    if not listed:
        raise UserError(
            f"messages: are {shortened(messages)}; give a text, or a list of messages such as "
            '{"role": "user", "content": "Hello"}; for several conversations use replies'
        )
    return messages


def _check(conversation: Conversation) -> None:
    if not conversation:
        raise UserError("conversation: has no message; give at least one")
    for index, message in enumerate(conversation):
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                raise UserError(f"conversation: message {index} has no text {key!r}; it has {sorted(message)}")
        if message["role"] not in (*ROLES, "tool"):
            raise UserError(f"conversation: message {index} has role {message['role']!r}; known: {', '.join(ROLES)}")


def load_template(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """Read the template stored with a model, or return None where there is none."""
    path = folder / TEMPLATE_FILE
    if not path.exists():
        return None
    try:
        return ChatTemplate(tokenizer, read_plain_text(path, limit=TEMPLATE_LIMIT))
    except OSError as error:
        raise explain_os_error(error, path) from error
