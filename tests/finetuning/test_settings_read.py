"""Each setting of training either changes a fine-tuning, or is refused by name."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from marks import slow
from scratchlm.commands import COMMANDS
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.training.config import AdamWConfig, TrainingConfig
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

SETTINGS = {field.name for field in dataclasses.fields(TrainingConfig)}
COPIES = {
    "dataclasses",
    "scratchlm.base.config",
    "scratchlm.base.ranges",
    "scratchlm.finetuning.config",
    "scratchlm.training.config",
}
"""What passes settings on, or checks them, without following them."""
READ: set[str] = set()


class Watched(TrainingConfig):
    """Notes which settings are read, and not only copied or shown."""

    def __getattribute__(self, name: str) -> Any:
        if name in SETTINGS:
            reader = sys._getframe(1).f_globals["__name__"]
            shown = (reader, name) == ("scratchlm.runs.run", "sequence_length")  # FLOPs on the progress line
            if reader not in COPIES and not shown:
                READ.add(name)
        return super().__getattribute__(name)


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "classify": ({"text": "text {}", "label": "odd"}, {}),
    "instruct": (
        {"prompt": "say {}", "completion": "yes"},
        {"scored": 1, "reply_tokens": 2},
    ),
    "prefer": ({"prompt": "say {}", "chosen": "yes", "rejected": "no"}, {}),
    "reinforce": (
        {},
        {"questions": 4, "group_size": 2, "reply_tokens": 2, "epochs": 0.002},
    ),
}


@pytest.mark.parametrize("kind", [slow(kind) if kind == "reinforce" else kind for kind in KINDS])
def test_every_setting_of_training_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    row, more = KINDS[kind]
    command = COMMANDS[f"finetune {kind}"]
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=80))
    save_model(tmp_path / "base", SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))
    rows = [{name: text.format(number) for name, text in row.items()} for number in range(24)]
    if kind == "classify":
        rows = [{**each, "label": "odd" if number % 2 else "even"} for number, each in enumerate(rows)]
    read = {} if kind == "reinforce" else {"data": tmp_path / "data.jsonl", "split": "tail:0.25"}
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    training = Watched(optimizer=AdamWConfig(), sequence_length=64 if kind in ("instruct", "prefer") else 256)
    config = command.from_call(
        (),
        {"epochs": 0.1, **more, **read, "init": tmp_path / "base", "out": tmp_path / "run", "dtype": "fp32",
         "threads": 1, "training": training},
    )  # fmt: skip
    READ.clear()
    command.function()(config)
    refused = {name.removeprefix("training.") for name in type(config).unread()}
    set_anew = {"steps", "batch_size"} & refused  # by other settings, then read
    assert SETTINGS - READ - refused == {"max_bad_steps"}  # read when a step is bad, which none was
    assert READ & refused - set_anew == set()
