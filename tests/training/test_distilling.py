"""Distillation mixes two gradients, and what reads both ways is learned beside what reads forwards."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import scratchlm
from scratchlm.base.errors import UserError
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.ensemble import Ensemble
from scratchlm.training.distilling import distillation_loss
from scratchlm.training.loss import next_token_loss, plain_next_token_loss
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, save_model
from toys import TOYS, random_decoder, random_ids, toy_config


def batch_of(rows: int) -> Batch:
    targets = random_ids(rows, 12, seed=2)
    targets[:, 3] = IGNORED
    return Batch(random_ids(rows, 12), targets)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_gradient_is_the_mixture_and_the_value_that_of_the_text(weight: float) -> None:
    student = random_decoder(toy_config("default"))
    teacher = Ensemble([random_decoder(toy_config("default"), seed) for seed in (5, 6)])
    batch = batch_of(4)
    loss = distillation_loss(teacher, weight)(student, batch)
    loss.backward()
    found = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    torch.testing.assert_close(loss, next_token_loss(student, batch).detach())

    student.zero_grad()
    scores = student(batch.ids).log_softmax(-1)
    wanted = batch.targets != IGNORED
    hard = F.nll_loss(scores[wanted], batch.targets[wanted], reduction="sum")
    soft = -(torch.stack([member(batch.ids).softmax(-1) for member in teacher.members]).mean(0) * scores)[wanted].sum()
    ((1 - weight) * hard + weight * soft).backward()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-3)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_rows_that_are_left_out_have_no_part() -> None:
    student, teacher = (random_decoder(toy_config("default"), seed) for seed in (1, 2))
    batch = batch_of(4)
    told = []

    def judge(losses: torch.Tensor) -> torch.Tensor:
        told.append(losses)
        return torch.tensor([False, True, False, False])

    of = distillation_loss(teacher, 0.5)
    left = of(student, batch, judge)
    torch.testing.assert_close(left, of(student, batch.select(torch.tensor([True, False, True, True]))))
    assert told[0].shape == (4,)


@pytest.mark.parametrize("name", TOYS)
def test_rows_of_both_kinds_have_the_loss_of_each_alone(name: str) -> None:
    decoder, batch = random_decoder(toy_config(name)), batch_of(5)
    both = torch.tensor([True, False, False, True, False])
    mixed = Batch(batch.ids, batch.targets, bidirectional=both)
    hidden = decoder.hidden(batch.ids[both], bidirectional=True)
    expected = F.cross_entropy(
        decoder.logits(hidden).flatten(0, 1), batch.targets[both].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    expected = expected + next_token_loss(decoder, batch.select(~both))
    torch.testing.assert_close(next_token_loss(decoder, mixed), expected)
    torch.testing.assert_close(plain_next_token_loss(decoder, mixed), expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared text, and a folder of two runs."""
    place = tmp_path_factory.mktemp("teachers")
    scratchlm.prepare("storyworld:60KB", out=place / "data", vocabulary_size=300)
    for seed in (0, 1):
        train(place, place / "two" / str(seed), seed=seed)
    return place


def train(folder: Path, out: Path, checkpoint_every: int = 0, **given: object) -> scratchlm.PretrainResult:
    small = {
        "training.checkpoint_every": checkpoint_every,
        "training.steps": 12, "training.batch_size": 4, "training.sequence_length": 32, "training.sample_every": 0,
        "training.log_every": 1,
    }  # fmt: skip
    return scratchlm.pretrain("tiny", data=folder / "data", out=out, dtype="fp32", threads=1, overrides=small, **given)  # type: ignore[arg-type]


def test_rows_read_both_ways_are_taught_by_the_text_alone_and_never_judged() -> None:
    student, teacher = (random_decoder(toy_config("default"), seed) for seed in (1, 2))
    both = torch.tensor([True, False, True, False])
    batch = dataclasses.replace(batch_of(4), bidirectional=both)
    told = []

    def judge(losses: torch.Tensor) -> torch.Tensor:
        told.append(losses)
        return losses > 1e9

    mixed = distillation_loss(teacher, 1.0)(student, batch, judge)
    mixed.backward()
    found = student.embedding.weight.grad.clone()
    student.zero_grad()
    (
        distillation_loss(teacher, 1.0)(student, batch.select(~both)) + next_token_loss(student, batch.select(both))
    ).backward()
    torch.testing.assert_close(found, student.embedding.weight.grad, rtol=1e-3, atol=1e-3)
    next_token_loss(student, batch, judge)
    assert [losses.isnan().tolist() for losses in told] == [both.tolist()] * 2


def test_a_folder_of_models_is_measured_and_teaches(folder: Path) -> None:
    alone = [scratchlm.evaluate(folder / "two" / seed, data=folder / "data").held_out.loss for seed in "01"]
    together = scratchlm.evaluate(folder / "two", data=folder / "data")
    assert together.model.endswith("two: 2 models as one")
    assert together.held_out.loss < sum(alone) / 2  # by Jensen's inequality
    taught = train(folder, folder / "student", teacher=folder / "two", distillation=0.9)
    assert taught.loss < 6.0
    manifest = json.loads((folder / "student" / "manifest.json").read_text())
    assert set(manifest["inputs"]) == {"data", "teacher"}
    (folder / "one").mkdir()
    shutil.copytree(folder / "two" / "0", folder / "one" / "0")
    assert scratchlm.evaluate(folder / "one", data=folder / "data").held_out.loss == pytest.approx(alone[0])


def test_a_student_goes_on_bit_for_bit_with_the_teacher_it_began_with(folder: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teachers"
    shutil.copytree(folder / "two", teacher)
    out = tmp_path / "student"
    train(folder, out, teacher=teacher, checkpoint_every=6)
    whole = (out / "checkpoints" / "00000012" / "model.safetensors").read_bytes()
    shutil.rmtree(out / "checkpoints" / "00000012")
    teacher.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"its teacher .* is gone; put it back, or name where it lies now"):
        scratchlm.pretrain(resume=out)
    shutil.copytree(tmp_path / "moved", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "1")
    with pytest.raises(UserError, match="--teacher has changed since the run began"):
        scratchlm.pretrain(resume=out, teacher=tmp_path / "other")
    scratchlm.pretrain(resume=out, teacher=tmp_path / "moved")
    assert (out / "checkpoints" / "00000012" / "model.safetensors").read_bytes() == whole


def test_a_student_never_takes_the_place_of_its_teacher_or_comes_among_them(folder: Path) -> None:
    for out in (folder / "two", folder / "two" / "student"):
        with pytest.raises(UserError):
            train(folder, out, teacher=folder / "two", force=True)
    assert sorted(each.name for each in (folder / "two").iterdir()) == ["0", "1"]


def test_what_cannot_teach_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--distillation 0\.9: has no part without --teacher"):
        train(folder, tmp_path / "run", distillation=0.9)
    with pytest.raises(UserError, match="no such model folder"):
        train(folder, tmp_path / "run", teacher=tmp_path / "nobody")
    with pytest.raises(UserError, match=r"--minutes: steps are timed without a teacher"):
        train(folder, tmp_path / "run", teacher=folder / "two", minutes=1)
    scratchlm.prepare("storyworld:60KB", out=tmp_path / "data", vocabulary_size=320)
    with pytest.raises(UserError, match=r"its tokenizer .* is not that of --data"):
        train(tmp_path, tmp_path / "run", teacher=folder / "two")
    with pytest.raises(UserError, match=r"--teacher .*: its tokenizer"):
        train(tmp_path, tmp_path / "run", teacher=folder / "two", sweep=("seed=1,2",))
    wider = load_model(find_model(folder / "two" / "0"))
    shape = dataclasses.replace(wider.decoder.config, vocabulary_size=wider.decoder.config.vocabulary_size + 20)
    save_model(tmp_path / "wider", SavedModel(random_decoder(shape), wider.tokenizer))
    with pytest.raises(UserError, match=r"--teacher .*: scores \d+ ids, the student \d+"):
        train(folder, tmp_path / "run", teacher=tmp_path / "wider")
    shutil.copytree(folder / "two" / "0", tmp_path / "both" / "0")
    shutil.copytree(tmp_path / "wider", tmp_path / "both" / "1")
    with pytest.raises(UserError, match="an ensemble needs as many of all"):
        scratchlm.evaluate(tmp_path / "both", data=folder / "data")
    assert not (tmp_path / "run").exists()
