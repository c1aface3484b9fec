"""Trainings begun from Python: with data in memory, and with a function that sees each step."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scratchlm as slm
import transfer
from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import Evaluation, read_log
from scratchlm.data.given import file_of_rows
from scratchlm.training.checkpoints import list_checkpoints
from scratchlm.weights.checkpoint import find_model, save_model

TEXTS = [f"The miller said {day * 7} words to the cat on day {day}." for day in range(300)]
SMALL = {"training.steps": 6, "training.batch_size": 4, "training.sequence_length": 32, "training.checkpoint_every": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        slm.prepare(data=TEXTS, out=folder / "data", vocabulary_size=280)
    return folder / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scratchlm" / "given"


def pretrain(data: Path, out: Path, **named: Any) -> Any:
    return slm.pretrain("tiny", data=data, out=out, dtype="fp32", threads=1, overrides=SMALL, **named)


def weights(run: Path) -> str:
    return hashlib.sha256((find_model(run) / "model.safetensors").read_bytes()).hexdigest()


def test_a_function_sees_the_record_of_each_step_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    records: list[slm.StepRecord] = []
    pretrain(data, tmp_path / "seen", on_step=records.append)
    pretrain(data, tmp_path / "plain")
    assert [record.step for record in records] == [1, 2, 3, 4, 5, 6]
    assert all(record.loss > 0 and record.tokens == 128 for record in records)
    assert weights(tmp_path / "seen") == weights(tmp_path / "plain")


def test_a_run_ends_in_order_where_the_function_returns_true(data: Path, tmp_path: Path) -> None:
    result = pretrain(data, tmp_path / "run", on_step=lambda record: record.step == 3)
    assert result.steps == 3
    assert (tmp_path / "run" / "report.html").exists()
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")][-1] == "00000003"
    last = [each for each in read_log(tmp_path / "run" / "metrics.jsonl") if isinstance(each, Evaluation)][-1]
    whole = json.loads((data / "prepare.json").read_text())["tokens"]["validation"]
    assert (last.step, last.tokens) == (3, whole)  # the last look is at all held-out text
    assert slm.pretrain(resume=tmp_path / "run").steps == 3  # it has ended: nothing is left to train


def test_what_the_function_raises_ends_the_run_which_can_be_resumed_exactly(data: Path, tmp_path: Path) -> None:
    def fail(record: slm.StepRecord) -> None:
        if record.step == 5:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        pretrain(data, tmp_path / "run", on_step=fail)
    assert slm.pretrain(resume=tmp_path / "run").steps == 6
    pretrain(data, tmp_path / "plain")
    assert weights(tmp_path / "run") == weights(tmp_path / "plain")


def test_a_function_that_is_none_and_one_beside_a_sweep_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="on_step is 3: give a function"):
        pretrain(data, tmp_path / "run", on_step=3)
    with pytest.raises(UserError, match="on_step: the trials of a sweep"):
        pretrain(data, tmp_path / "run", on_step=print, sweep="training.steps=2,3")


def test_texts_in_memory_are_prepared_once_and_their_run_resumes(tmp_path: Path, cache: Path) -> None:
    draw = random.Random(0)  # a vocabulary of 4,096 tokens needs many words
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(3, 8))) for _ in range(4000)]
    texts = [" ".join(draw.choices(words, k=90)) for _ in range(300)]
    first = pretrain(texts, tmp_path / "run", on_step=lambda record: record.step == 4)  # type: ignore[arg-type]
    assert first.steps == 4
    (file,) = cache.glob("*.jsonl")
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()] == texts
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    pretrain((text for text in texts), tmp_path / "again")  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == times
    assert slm.pretrain(resume=tmp_path / "run").steps == 4
    manifests = [json.loads((tmp_path / run / "manifest.json").read_text()) for run in ("run", "again")]
    assert manifests[0]["inputs"] == manifests[1]["inputs"]
    with pytest.raises(UserError, match=r"--vocabulary-size 4096: .*; settings of its own have slm.prepare"):
        pretrain(TEXTS[:20], tmp_path / "short")  # type: ignore[arg-type]


def test_rows_in_memory_teach_as_those_of_a_file(tmp_path: Path, cache: Path) -> None:
    save_model(tmp_path / "model", transfer.model())
    rows = [{"question": f"Say {word}", "answer": word} for word in map(str, range(40))]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    named: dict[str, Any] = {"init": tmp_path / "model", "epochs": 1, "dtype": "fp32", "seed": 1}
    seen: list[int] = []
    slm.finetune_instruct(data=rows, out=tmp_path / "a", on_step=lambda record: seen.append(record.step), **named)
    slm.finetune_instruct(data=file, out=tmp_path / "b", **named)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert seen[0] == 1
    labelled = [{"text": f"{'good' if n % 2 else 'bad'} {n}", "label": np.int64(n % 2)} for n in range(40)]
    assert slm.finetune_classify(data=labelled, out=tmp_path / "c", **named).out == str(tmp_path / "c")
    assert len(list(cache.glob("*.jsonl"))) == 2


def test_every_wrong_row_is_named_and_nothing_is_written(cache: Path) -> None:
    with pytest.raises(UserError, match=r"data, row 2: is 3: neither.*; data, row 3: .*object.* is no value of JSON"):
        file_of_rows(["a", 3, {"text": object()}, "b"], "data")  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"row 1: .*surrogates not allowed"):
        file_of_rows(["\ud800"], "data")
    with pytest.raises(UserError, match="data: holds no row"):
        file_of_rows([], "data")
    with pytest.raises(UserError, match="data is 3: expected a path, texts, or rows"):
        slm.finetune_instruct(init="m", data=3, out="o")
    with pytest.raises(UserError, match="prepare: sources and data; give paths, or what is in memory"):
        slm.prepare("a.txt", data=["b"], out="o")
    assert not cache.exists()


def test_batches_come_from_a_folder_from_texts_and_from_ids(data: Path) -> None:
    decoder = slm.build_decoder(slm.DecoderConfig(vocabulary_size=300, layers=1))
    model = transfer.model()
    sources = (data, [1, 2, 3, 4, 5, 6, 7, 8] * 20)
    for source in sources:
        loop = slm.Loop(decoder, slm.batches_from(source, rows=2, length=16), slm.TrainingConfig(steps=2))
        assert [record.step for record in loop.steps()] == [1, 2]
    batch, _ = next(slm.batches_from(["ab", "cd"] * 40, tokenizer=model.tokenizer, rows=2, length=4)())
    assert batch.ids.shape == (2, 4)
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    with pytest.raises(UserError, match="texts need a tokenizer"):
        slm.batches_from(["ab"])
