"""One server for all tests of the folder: toy models in a process of their own, as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel, save_model
from served import Server, serving
from toys import random_decoder, toy_config

TEXT = '{"name": "Ann", "age": 12, "tags": ["naïve", "守灯塔"]} Once the fox found a key. 🙂🙃 stop STOP ' * 20
TOOLS = (
    "{%- if tools %}{{- '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{%- for call in message.tool_calls or [] %}{{- call.function | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> FastBPE:
    return FastBPE.train([TEXT], 300)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tokenizer: FastBPE) -> Path:
    """A folder of models: `talker` has a chat template, `caller` one with tools, `plain` none."""
    folder = tmp_path_factory.mktemp("models")
    templates = {"talker": ChatTemplate(tokenizer), "caller": ChatTemplate(tokenizer, TOOLS), "plain": None}
    for seed, (name, template) in enumerate(templates.items()):
        config = toy_config("default", vocabulary_size=tokenizer.vocabulary_size, context=256)
        save_model(folder / name, SavedModel(random_decoder(config, seed), tokenizer, template))
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    with serving(models / "talker", models / "caller", f"other={models / 'plain'}", "--queue", "400") as found:
        yield found
