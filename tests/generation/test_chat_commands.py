"""Lines that begin with a slash, and paragraphs that are complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.generation.chatting import Chat
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.language_model import LanguageModel
from scratchlm.generation.screen import complete
from scratchlm.generation.speakers import LocalSpeaker
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "you"}]


@pytest.fixture
def chat() -> Chat:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=200))
    model = LanguageModel(SavedModel(decoder, tokenizer, ChatTemplate(tokenizer)))
    return Chat(LocalSpeaker(model), SamplingConfig())


def test_a_system_message_stands_first_and_outlives_a_reset(chat: Chat) -> None:
    chat.turns = [*TALK]
    chat.command("/system Be brief.")
    chat.command("/system Be kind.")
    assert chat.turns == [{"role": "system", "content": "Be kind."}, *TALK]
    chat.command("/reset")
    assert chat.turns == [{"role": "system", "content": "Be kind."}]
    chat.command("/system")
    assert chat.turns == []


def test_a_conversation_is_saved_and_loaded(chat: Chat, tmp_path: Path) -> None:
    chat.turns = [*TALK]
    assert "2 messages" in chat.command(f"/save {tmp_path / 'talk.json'}")
    chat.command("/reset")
    chat.command(f"/load {tmp_path / 'talk.json'}")
    assert chat.turns == TALK
    for wrong in ({}, [], {"messages": [{"role": "king", "content": "a"}]}, {"messages": [{"role": "user"}]}):
        (tmp_path / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(UserError, match="no conversation"):
            chat.command(f"/load {tmp_path / 'wrong.json'}")
    assert chat.turns == TALK


def test_settings_change_or_stay_as_they_were(chat: Chat) -> None:
    chat.command("/seed 7")
    chat.command("/temperature 0.5")
    assert (chat.sampling.seed, chat.sampling.temperature) == (7, 0.5)
    for line, says in (
        ("/temperature hot", "is no number"),
        ("/temperature -1", "negative"),
        ("/seed x", "is no number"),
    ):
        with pytest.raises(UserError, match=says):
            chat.command(line)
    with pytest.raises(UserError, match="did you mean '/reset'"):
        chat.command("/rest")
    assert (chat.sampling.seed, chat.sampling.temperature) == (7, 0.5)
    assert all(name in chat.command("/help") for name in chat.commands if name != "/help")


def test_alternatives_are_the_probabilities_of_the_model(chat: Chat) -> None:
    with pytest.raises(UserError, match="no answer yet"):
        chat.command("/alternatives")
    chat.turns = [*TALK]
    assert len(chat.command("/alternatives 2").splitlines()) == 3
    speaker = chat.speaker
    assert isinstance(speaker, LocalSpeaker)
    found = speaker.alternatives(TALK[:1], "you", 4)
    before = speaker.model.saved.template.render(TALK[:1], reply=True).ids
    with torch.no_grad():
        rows = speaker.model.decoder(torch.tensor([[*before, *b"you"]]))[0, len(before) - 1 : -1].softmax(-1)
    assert [each.text for each in found] == ["y", "o", "u"]
    assert [each.probability for each in found] == pytest.approx(
        [float(row[id]) for row, id in zip(rows, b"you", strict=True)], abs=1e-5
    )
    assert all(
        [share for _, share in each.likeliest] == sorted((share for _, share in each.likeliest), reverse=True)
        for each in found
    )


def test_what_no_longer_fits_is_forgotten_but_for_the_system_message(chat: Chat) -> None:
    turns = [{"role": "system", "content": "Be brief."}, *TALK * 8, TALK[0]]
    assert chat.speaker.forget(turns)
    assert turns[0]["role"] == "system"
    assert turns[1]["role"] == "user"
    assert turns[-1] == TALK[0]
    assert not chat.speaker.forget(turns)


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("one", ""),
        ("one\n\ntwo", "one"),
        ("one\n\ntwo\n\n", "one\n\ntwo"),
        ("one\n\n```\na\n\nb", "one"),
        ("one\n\n```\na\n\nb\n```\n\nend", "one\n\n```\na\n\nb\n```"),
    ],
)
def test_a_paragraph_is_complete_at_its_blank_line_outside_of_fences(text: str, done: str) -> None:
    assert complete(text)[0] == done
    assert "".join(complete(text)).replace("\n", "") == text.replace("\n", "")
