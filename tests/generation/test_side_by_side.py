"""Texts that one model writes side by side, by turns or in threads, are those that it writes alone."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from marks import slow
from scratchlm.generation.language_model import LanguageModel
from scratchlm.generation.weights import Weights
from scratchlm.model.lora import add_adapter, use_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

TOKENIZER = byte_tokenizer()
GREEDY = {"temperature": 0.0, "repetition_penalty": 1.2}
SAMPLED = {"temperature": 1.0, "seed": 3}
HI = [{"role": "user", "content": "Hi"}]


def language_model() -> LanguageModel:
    config = dataclasses.replace(toy_config("default", vocabulary_size=BYTE_VOCABULARY), context=80)
    return LanguageModel(SavedModel(random_decoder(config), TOKENIZER, ChatTemplate(TOKENIZER)))


def with_adapters() -> LanguageModel:
    model = language_model()
    for seed, name in enumerate(("poet", "cook")):
        add_adapter(model.decoder, name, LoRAConfig(rank=4, alpha=8.0), seed)
    for name, parameter in model.decoder.named_parameters():
        if ".lora_b" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model.use(None)


def by_turns(*streams: Iterator[str]) -> list[str]:
    texts = [""] * len(streams)
    for pieces in itertools.zip_longest(*streams, fillvalue=""):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
    return texts


def in_threads(*calls: Callable[[], str]) -> list[str]:
    texts = [""] * len(calls)

    def run(place: int) -> None:
        texts[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return texts


@pytest.mark.parametrize("changes", [slow(GREEDY), SAMPLED], ids=["greedy", "sampled"])
def test_streams_read_by_turns_give_the_texts_that_they_give_alone(changes: dict) -> None:
    prompts = ("Once", "Once upon a", "A fox")
    alone = [language_model().generate(prompt, max_tokens=90, **changes) for prompt in prompts]
    model = language_model()
    assert by_turns(*(model.stream_generate(prompt, max_tokens=90, **changes) for prompt in prompts)) == alone
    assert len(set(alone)) == 3


@pytest.mark.parametrize("changes", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_streams_in_threads_give_the_texts_that_they_give_alone(changes: dict) -> None:
    prompts = ["Once", "A fox", "The owl"]
    alone = [language_model().generate(prompt, max_tokens=40, **changes) for prompt in prompts]
    model = language_model()
    calls = [lambda prompt=prompt: model.generate(prompt, max_tokens=40, **changes) for prompt in prompts]
    assert in_threads(*calls) == alone


def test_a_stream_is_untouched_by_replies_and_batches_in_between() -> None:
    model = language_model()
    text = model.generate("Once", max_tokens=40, **GREEDY)
    reply = model.reply(HI, max_tokens=30, **GREEDY)
    replies = model.replies([HI, HI], max_tokens=20, **GREEDY)
    stream, answer = (
        model.stream_generate("Once", max_tokens=40, **GREEDY),
        model.stream_reply(HI, max_tokens=30, **GREEDY),
    )
    written, answered = next(stream), next(answer)
    assert model.replies([HI, HI], max_tokens=20, **GREEDY) == replies
    assert model.generate("Once", max_tokens=40, cached=False, **GREEDY) == text
    assert (written + "".join(stream), answered + "".join(answer)) == (text, reply)


def test_a_stream_that_is_left_early_spoils_nothing() -> None:
    model = language_model()
    text = model.generate("Once", max_tokens=40, **GREEDY)
    for taken in (1, 5):
        written = "".join(itertools.islice(model.stream_generate("Once", max_tokens=40, **GREEDY), taken))
        assert len(written) >= taken
        assert text.startswith(written)
    assert model.generate("Once", max_tokens=40, **GREEDY) == text


def test_a_running_stream_keeps_the_adapter_that_it_began_with() -> None:
    names = (None, "poet", "cook")
    alone = [with_adapters().use(name).generate("Once", max_tokens=60, **GREEDY) for name in names]
    assert len(set(alone)) == 3
    model = with_adapters()
    streams = [model.use(name).stream_generate("Once", max_tokens=60, **GREEDY) for name in names]
    assert by_turns(*streams) == alone
    stream = model.use("poet").stream_generate("Once", max_tokens=60, **GREEDY)
    stop = threading.Event()

    def choose() -> str:
        while not stop.wait(0.001):  # a loop without a pause would take the processor from what reads
            for name in names:
                model.use(name)
        return ""

    def read() -> str:
        text = "".join(stream)
        stop.set()
        return text

    assert in_threads(read, choose)[0] == alone[1]


def test_the_next_prompt_still_reuses_what_it_shares_with_the_last_beside_an_adapter() -> None:
    model, read = with_adapters().use("poet"), []
    model.generate("Once upon a time", max_tokens=1)
    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, given: read.append(given[0].size(1)) if isinstance(module, torch.nn.Embedding) else None
    )
    with handle:
        model.generate("Once upon a time there", max_tokens=1)
    assert read == [6]


def test_an_adapter_that_is_chosen_on_the_decoder_itself_answers_too() -> None:
    model = with_adapters()
    expected = model.use("cook").generate("Once", max_tokens=20, **GREEDY)
    model.use(None).generate("Once", max_tokens=20, **GREEDY)
    use_adapter(model.decoder, "cook")
    assert model.generate("Once", max_tokens=20, **GREEDY) == expected


def test_every_way_to_change_weights_is_noticed() -> None:
    decoder = random_decoder(toy_config("default"))
    weight = decoder.final_norm.weight
    changes: dict[str, Callable[[], object]] = {
        "in place": lambda: weight.detach()[0].add_(1),
        "data": lambda: setattr(weight, "data", weight.data * 1.0),
        "a whole tensor through data": lambda: weight.data.mul_(2.0),
        "load": lambda: decoder.load_state_dict(decoder.state_dict()),
        "assign": lambda: decoder.load_state_dict(dict(decoder.state_dict()), assign=True),
        "clones": lambda: decoder.load_state_dict({n: t.clone() for n, t in decoder.state_dict().items()}, assign=True),
    }
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        for how in ({}, {"foreach": True}, {"fused": True}):
            changes[f"{kind.__name__} {how}"] = lambda kind=kind, how=how: step(decoder, kind, how)
    for what, change in changes.items():
        noted = Weights(decoder)
        assert noted.unchanged(decoder), what
        change()
        assert not noted.unchanged(decoder), what


def step(decoder: torch.nn.Module, kind: type, how: dict) -> None:
    optimizer = kind(decoder.parameters(), lr=0.01, **how)
    decoder(torch.tensor([[1, 2, 3]])).square().sum().backward()
    optimizer.step()
