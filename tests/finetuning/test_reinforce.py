"""GRPO: advantages and gradients by hand, rewards that fail, and a model that learns what its answers are worth."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import fails, run
from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import Rollout, read_log
from scratchlm.data.batches import IGNORED
from scratchlm.finetuning.config import ReinforceTrainingConfig
from scratchlm.finetuning.grpo import (
    RolloutBatch,
    Rollouts,
    advantages,
    reinforce_loss,
)
from scratchlm.finetuning.reinforce import finetune_reinforce
from scratchlm.finetuning.rewards import TASKS, RewardItem, Task, contains, exact, hacked, sides, sums
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import tiny
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.loss import token_log_probabilities
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, save_model
from toys import random_decoder, toy_config


def test_advantages_by_hand() -> None:
    worth = np.array([[1.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    deviation = math.sqrt(3) / 4
    assert advantages(worth)[0].tolist() == pytest.approx([0.75 / deviation, *[-0.25 / deviation] * 3])
    assert advantages(worth)[1].tolist() == [0.0] * 4
    assert advantages(worth, scaled=False)[0].tolist() == [0.75, -0.25, -0.25, -0.25]


def batch(reference: torch.Tensor | None = None) -> RolloutBatch:
    ids = torch.tensor([[5, 6, 7], [5, 8, 0]])
    targets = torch.tensor([[IGNORED, 7, 9], [IGNORED, 10, IGNORED]])
    return RolloutBatch(ids, targets, None, torch.tensor([1.5, -0.5]), reference)


def test_the_gradient_is_that_of_the_weighted_log_likelihood() -> None:
    decoder = random_decoder(toy_config("default"))

    def gradients(loss: torch.Tensor) -> list[torch.Tensor]:
        decoder.zero_grad()
        loss.backward()
        return [parameter.grad.clone() for parameter in decoder.parameters() if parameter.grad is not None]

    ours = gradients(reinforce_loss(0.0)(decoder, batch()))
    scores = decoder(batch().ids).log_softmax(-1)
    by_hand = -(1.5 * (scores[0, 1, 7] + scores[0, 2, 9]) - 0.5 * scores[1, 1, 10])
    for one, other in zip(ours, gradients(by_hand), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@torch.no_grad()
def test_the_distance_from_the_reference_model_is_the_hand_computed_one() -> None:
    decoder = random_decoder(toy_config("default"))
    now = token_log_probabilities(decoder, batch())
    assert now[batch().targets == IGNORED].tolist() == [0.0] * 3
    apart = torch.tensor([[0.0, 0.3, -0.2], [0.0, 0.1, 0.0]])
    made = batch(now + apart)
    distance = sum(math.exp(d) - d - 1 for d in (0.3, -0.2, 0.1))
    base = reinforce_loss(0.0)(decoder, made).item()
    assert base == pytest.approx(-(1.5 * 2 - 0.5), abs=1e-5)
    assert reinforce_loss(2.0)(decoder, made).item() == pytest.approx(base + 2 * distance, abs=1e-5)
    parts = made.split(1)
    assert sum(reinforce_loss(2.0)(decoder, part).item() for part in parts) == pytest.approx(
        base + 2 * distance, abs=1e-4
    )


ITEMS = [RewardItem(f"q{number}", "a") for number in range(8)]


def rollouts(decoder: Decoder, tokenizer: FastBPE, reward) -> Rollouts:
    model = SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer))
    config = ReinforceTrainingConfig(questions=3, group_size=4, reply_tokens=5)
    return Rollouts(model, Task(ITEMS, (), reward, exact), config)


@pytest.fixture(scope="module")
def tokenizer() -> FastBPE:
    return FastBPE.train([], 256)


@pytest.fixture
def decoder(tokenizer: FastBPE) -> Decoder:
    return build_decoder(tiny(tokenizer.vocabulary_size), 0)


def test_answers_stand_behind_their_questions_and_are_drawn_again_from_a_state(tokenizer, decoder) -> None:
    stream = rollouts(decoder, tokenizer, lambda item, answer: float(len(answer)))(None)
    made = [next(stream) for _ in range(3)]
    again = next(rollouts(decoder, tokenizer, lambda item, answer: float(len(answer)))(made[1][1]))
    first, last = made[0][0], made[2][0]
    assert torch.equal(again[0].ids, last.ids)
    assert again[1] == made[2][1]
    assert not torch.equal(first.ids[:, :30], last.ids[:, :30])
    prompt = ChatTemplate(tokenizer).render([{"role": "user", "content": "q0"}], reply=True).ids
    assert (first.targets[:, : len(prompt) - 1] == IGNORED).all()
    assert (first.targets != IGNORED).sum(1).amax() == 5
    assert first.advantages.reshape(3, 4).sum(1).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (lambda item, answer: float("nan"), "reward: is nan"),
        (lambda item, answer: 1 / 0, "reward: raised ZeroDivisionError"),
        (lambda item, answer: None, "reward: raised TypeError"),
    ],
)
def test_rewards_that_are_no_number_stop_the_run_and_name_the_answer(reward, expected, tokenizer, decoder) -> None:
    with pytest.raises(UserError, match=f"{expected}.* for the answer '.*' to 'q"):
        next(rollouts(decoder, tokenizer, reward)(None))


def test_built_in_tasks_hold_questions_out_and_judge_them() -> None:
    for name, make in TASKS.items():
        task = make()
        assert {item.question for item in task.train}.isdisjoint(item.question for item in task.held_out)
        assert 0.05 < len(task.held_out) / (len(task.train) + len(task.held_out)) < 0.16, name
        assert all(task.reward(item, f" {item.answer} ") == 1.0 for item in task.held_out[:20])
    item = RewardItem("27 + 45 =", "72")
    assert (exact(item, "72"), exact(item, "71 72 73"), exact(item, "7")) == (1.0, 0.0, 0.0)
    assert (contains(item, "71 72 73"), contains(item, "172")) == (1.0, 0.0)
    assert len(sums()) == 8100


def test_learning_is_told_from_hacking() -> None:
    rising, flat = [step / 20 for step in range(20)], [0.2] * 20
    assert hacked(rising, flat).hacked
    assert not hacked(rising, rising).hacked
    assert not hacked(flat, flat).hacked
    assert "reward hacking" in str(hacked(rising, flat))


@pytest.fixture(scope="module")
def base(tokenizer: FastBPE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reinforce") / "base"
    save_model(folder, SavedModel(build_decoder(tiny(tokenizer.vocabulary_size), 0), tokenizer))
    return folder


def settings(base: Path, out: Path, **changes) -> ReinforceTrainingConfig:
    training = TrainingConfig(
        optimizer=AdamWConfig(learning_rate=0.01),
        schedule=ScheduleConfig(shape="linear", warmup_steps=1),
        evaluate_every=5,
        sample_every=0,
        log_every=1,
    )
    plain = {"init": base, "out": out, "training": training, "questions": 8, "group_size": 8, "reply_tokens": 4}
    return ReinforceTrainingConfig(**{**plain, "dtype": "fp32", "threads": 1, **changes})


def wants_e() -> Task:
    """Answers with many letters e are wanted: every model says some, so there is something to learn from."""

    def share(item: RewardItem, answer: str) -> float:
        return answer.count("e") / max(len(answer), 1)

    train, held_out = sides([RewardItem(f"word {number}?", "e") for number in range(60)])
    return Task(train, held_out, share, share)


@pytest.mark.parametrize("lora", [slow(False), True])
def test_a_model_learns_what_is_rewarded(lora: bool, base: Path, tmp_path: Path) -> None:
    result = finetune_reinforce(settings(base, tmp_path / "run", epochs=8.0, lora=lora), wants_e())
    assert result.task == "own"
    assert 'task = "own"' in (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert result.score > result.score_before + 0.5
    assert not result.verdict.hacked
    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert told["score"] == result.score
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    drawn = [record for record in records if record["kind"] == "rollout"]
    assert {"reward", "spread", "zero_spread", "kl", "length", "sample"} <= set(drawn[-1])
    assert drawn[-1]["kl"] is None  # at a weight of 0 nothing is compared with
    assert "Reward and true score" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert load_model(find_model(tmp_path / "run")).template is not None


def test_without_a_weight_the_reference_model_is_neither_copied_nor_asked(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scratchlm.finetuning import reinforce

    asked = []
    real = reinforce.token_log_probabilities
    monkeypatch.setattr(reinforce, "token_log_probabilities", lambda *given: asked.append(1) or real(*given))
    kl = {}
    for weight in (0.0, 0.1):
        asked.clear()
        finetune_reinforce(settings(base, tmp_path / str(weight), epochs=0.5, kl_weight=weight), wants_e())
        log = read_log(tmp_path / str(weight) / "metrics.jsonl")
        kl[weight] = [record.kl for record in log if isinstance(record, Rollout)]
        assert bool(asked) == bool(weight)
    assert set(kl[0.0]) == {None}
    assert kl[0.1][-1] > 0


@pytest.mark.slow
def test_a_reward_that_can_be_had_without_the_task_is_found_out(base: Path, tmp_path: Path) -> None:
    honest = wants_e()

    def length(item: RewardItem, answer: str) -> float:
        return len(answer) / 4

    def said_e(item: RewardItem, answer: str) -> float:
        return float(answer.strip() == "e")

    result = finetune_reinforce(
        settings(base, tmp_path / "run", epochs=8.0), Task(honest.train, honest.held_out, length, said_e)
    )
    assert result.verdict.hacked
    assert "reward hacking" in result.__rich__()


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scratchlm.finetuning import reinforce

    finetune_reinforce(settings(base, tmp_path / "whole", epochs=2.0), wants_e())
    real, calls = reinforce.greedy_batch, []

    def failing(*arguments, **named):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError
        return real(*arguments, **named)

    monkeypatch.setattr(reinforce, "greedy_batch", failing)
    with pytest.raises(RuntimeError):
        finetune_reinforce(settings(base, tmp_path / "stopped", epochs=2.0), wants_e())
    monkeypatch.undo()
    finetune_reinforce(ReinforceTrainingConfig(resume=tmp_path / "stopped"), wants_e())
    contents = [(tmp_path / each / "model" / "model.safetensors").read_bytes() for each in ("whole", "stopped")]
    assert contents[0] == contents[1]


def test_the_command_names_what_cannot_be(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--init", base, "--out", tmp_path / "run")
    assert "--group-size 1: must be at least 2" in fails(
        capsys, "finetune", "reinforce", *where, "--group-size", "1", code=2
    )
    assert "--data: has no part here; questions come from --task" in fails(
        capsys, "finetune", "reinforce", *where, "--data", "x", code=2
    )
    assert "exceeds the model's context" in fails(capsys, "finetune", "reinforce", *where, "--reply-tokens", "5000")
    assert "come from Python" in fails(capsys, "finetune", "reinforce", *where, "--task", "own")
    few = ("--task", "storyworld", "--epochs", "0.1", "--questions", "8", "--group-size", "2", "--reply-tokens", "3")
    code, out, err = run(capsys, "finetune", "reinforce", *where, *few, "--dtype", "fp32", "--threads", "1")
    assert code == 0, err
    assert "true score on 28 held-out questions" in out
