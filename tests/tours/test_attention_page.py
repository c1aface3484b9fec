"""What a quickstart says its model attended to is the attention of its network."""

from __future__ import annotations

import pytest
import torch

from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.trace import attention_maps
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.tours.quickstart.attention import answer_attention
from scratchlm.tours.quickstart.qa_eval import QuizAnswer
from scratchlm.weights.checkpoint import SavedModel
from toys import random_decoder, toy_config

WRONG = QuizAnswer("held-in", "Where is Ada?", "In Ulm.", "In Bonn.", 0.1)
GUESSED = QuizAnswer("held-out", "Where is Ida?", "In Ulm.", "In Ulm.", 0.1)
RIGHT = QuizAnswer("held-in", "Which pet has Zoë?", "Zoë has a pet goldfish.", "Zoë has a pet goldfish.", 0.1)


def model() -> LanguageModel:
    tokenizer = FastBPE.train(["Zoë has a pet goldfish."], 256)  # bytes: a word is several tokens
    decoder = random_decoder(toy_config("default", vocabulary_size=tokenizer.vocabulary_size, context=128))
    return LanguageModel(SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))


def test_each_word_has_the_attention_that_its_tokens_got() -> None:
    here = model()
    attention = answer_attention(here, [WRONG, GUESSED, RIGHT])
    assert attention is not None
    assert ([word for word, _ in attention.question], [word for word, _ in attention.begun]) == (
        ["Which", "pet", "has", "Zoë?"],
        ["Zoë", "has", "a", "pet"],
    )
    assert (attention.key, attention.rest, attention.correct) == ("goldfish", ".", True)
    assert here.saved.template is not None
    turns = [{"role": "user", "content": RIGHT.question}, {"role": "assistant", "content": RIGHT.given}]
    ids = here.saved.template.render(turns).ids
    pieces = [here.tokenizer.token_bytes(token) for token in ids]
    begin = next(at for at in range(len(ids)) if b"".join(pieces[at : at + 5]) == b"Which")
    written = next(at for at in range(len(ids)) if b"".join(pieces[at:]).startswith(b"goldfish"))
    maps = torch.stack(attention_maps(here.decoder, torch.tensor([ids])))[:, 0]
    assert attention.question[0][1] == pytest.approx(float(maps[:, :, written - 1, begin : begin + 5].sum(-1).mean()))
    assert 0 < sum(weight for _, weight in attention.question + attention.begun) < 1


def test_a_right_answer_that_is_no_guess_is_looked_into_first() -> None:
    here = model()
    for answers, key in (([WRONG, GUESSED], "Ulm"), ([WRONG], "Bonn"), ([RIGHT, GUESSED], "goldfish")):
        attention = answer_attention(here, answers)
        assert attention is not None
        assert attention.key == key
    assert answer_attention(here, []) is None
    assert answer_attention(here, [QuizAnswer("held-in", "Where?", "In Ulm.", "...", 0.1)]) is None
