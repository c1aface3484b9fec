"""Preferences: each loss by hand, the reference model kept aside, and what the command makes of pairs."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
from pathlib import Path

import pytest
import torch

from commands import fails, run
from marks import slow
from scratchlm.data.batches import IGNORED
from scratchlm.finetuning.config import PreferTrainingConfig
from scratchlm.finetuning.conversations import question_of
from scratchlm.finetuning.lossconfig import DPOConfig, IPOConfig, KTOConfig, ORPOConfig, SimPOConfig
from scratchlm.finetuning.prefer import finetune_prefer
from scratchlm.finetuning.preference_losses import (
    Sides,
    answer_log_probabilities,
    divergence,
    dpo,
    ipo,
    kto,
    next_log_probabilities,
    orpo,
    preference_loss,
    rewards,
    simpo,
)
from scratchlm.finetuning.preferences import (
    PairBatch,
    PairBatches,
    RenderedPair,
    pair_batch,
    read_preferences,
    render_pairs,
)
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import tiny
from scratchlm.text.records import TableRow, read_records
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.chat import ChatTemplate, Rendered
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import AdamWConfig, TrainingConfig
from scratchlm.training.loop import Loop
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, save_model
from toys import random_decoder, toy_config

TWO = Sides(
    chosen=torch.tensor([-4.0, -9.0]),
    rejected=torch.tensor([-6.0, -5.0]),
    chosen_tokens=torch.tensor([2.0, 3.0]),
    rejected_tokens=torch.tensor([3.0, 5.0]),
    reference_chosen=torch.tensor([-5.0, -8.0]),
    reference_rejected=torch.tensor([-5.0, -6.0]),
)


def test_the_divergence_from_the_reference_model_adds_up_tokens_of_opposite_sign() -> None:
    before = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    now = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()  # the first token gained as much as it lost at the second place
    by_hand = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert divergence(now, before).tolist() == pytest.approx([by_hand, by_hand])
    assert divergence(before, before).tolist() == [0.0, 0.0]


@torch.no_grad()
def test_the_divergence_of_two_models_is_torchs_over_all_tokens_of_the_answers() -> None:
    now, before = (random_decoder(toy_config("default"), seed) for seed in (0, 1))
    pair = RenderedPair(Rendered([1, 2, 3, 4], [False, True, True, True]), Rendered([1, 5, 6], [False, True, True]))
    batch = pair_batch([pair], 8, 0)
    found = divergence(next_log_probabilities(now, batch), next_log_probabilities(before, batch))
    logs = [model(batch.ids).log_softmax(-1)[batch.targets != IGNORED] for model in (now, before)]
    expected = torch.nn.functional.kl_div(logs[1], logs[0], log_target=True, reduction="none").sum(-1)
    assert len(found) == 5
    torch.testing.assert_close(found, expected)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_by_hand() -> None:
    assert TWO.margin.tolist() == [2.0, -2.0]
    expected = -math.log(sigmoid(0.2)) - math.log(sigmoid(-0.2))
    assert dpo(TWO, DPOConfig(beta=0.1)).item() == pytest.approx(expected, abs=1e-6)


def test_ipo_by_hand() -> None:
    leads = [1 / 2 - (-1 / 3), -1 / 3 - 1 / 5]
    expected = sum((lead - 5.0) ** 2 for lead in leads)
    assert ipo(TWO, IPOConfig(beta=0.1)).item() == pytest.approx(expected, abs=1e-5)


def test_kto_by_hand() -> None:
    middle = max((1.0 - 1.0 - 1.0 + 1.0) / 4, 0.0)
    good = sum(1 - sigmoid(0.1 * (reward - middle)) for reward in (1.0, -1.0))
    bad = sum(1 - sigmoid(0.1 * (middle - reward)) for reward in (-1.0, 1.0))
    assert kto(TWO, KTOConfig(beta=0.1, rejected_weight=2.0)).item() == pytest.approx(good + 2 * bad, abs=1e-6)


def test_orpo_by_hand() -> None:
    def log_odds(mean: float) -> float:
        return mean - math.log(1 - math.exp(mean))

    expected = 0.0
    for chosen, rejected in [(-2.0, -2.0), (-3.0, -1.0)]:
        expected += -chosen - 0.1 * math.log(sigmoid(log_odds(chosen) - log_odds(rejected)))
    assert orpo(TWO, ORPOConfig(weight=0.1)).item() == pytest.approx(expected, abs=1e-5)


def test_simpo_by_hand() -> None:
    expected = -math.log(sigmoid(2.0 * 0.0 - 1.0)) - math.log(sigmoid(2.0 * (-3.0 + 1.0) - 1.0))
    assert simpo(TWO, SimPOConfig(beta=2.0, margin=1.0)).item() == pytest.approx(expected, abs=1e-5)


def pairs(decoder=None) -> list[RenderedPair]:
    """Three pairs of different lengths, with the decoder's own opinion as the reference."""
    made = []
    for first in (5, 9, 20):
        chosen = Rendered([first, 6, 7, 8], [False, False, True, True])
        rejected = Rendered([first, 6, 11], [False, False, True])
        made.append(RenderedPair(chosen, rejected))
    if decoder is None:
        return made
    sums = answer_log_probabilities(decoder, pair_batch(made, 10, 0))[0].tolist()
    return [RenderedPair(p.chosen, p.rejected, (sums[2 * i], sums[2 * i + 1])) for i, p in enumerate(made)]


@torch.no_grad()
def test_log_probabilities_are_those_of_the_answers_tokens_alone() -> None:
    decoder = random_decoder(toy_config("default"))
    batch = pair_batch(pairs(), 10, 0)
    sums, counts = answer_log_probabilities(decoder, batch)
    scores = decoder(torch.tensor([[5, 6, 7, 8]])).log_softmax(-1)[0]
    assert sums[0].item() == pytest.approx((scores[1, 7] + scores[2, 8]).item(), abs=1e-5)
    assert counts.tolist() == [2, 1, 2, 1, 2, 1]


def test_the_loss_begins_at_the_logarithm_of_two_and_training_on_ten_pairs_raises_the_margin() -> None:
    decoder = random_decoder(toy_config("default"))
    batch = next(PairBatches(pairs(decoder), 6, 10, 0, 0)(None))[0]
    loss = preference_loss(DPOConfig())
    assert loss(decoder, batch).item() / batch.target_count == pytest.approx(math.log(2), abs=1e-6)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.05)
    for _ in range(10):
        value = loss(decoder, batch) / batch.target_count
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert value.item() < math.log(2) - 0.05


def test_micro_batches_give_the_same_loss_and_never_part_a_pair() -> None:
    decoder = random_decoder(toy_config("default"))
    batch = pair_batch(pairs(decoder), 10, 0)
    loss = preference_loss(SimPOConfig())
    parts = batch.split(3)
    assert [len(part.ids) for part in parts] == [2, 2, 2]
    assert sum(part.target_count for part in parts) == batch.target_count == 3
    total = sum(loss(decoder, part).item() for part in parts)
    assert total == pytest.approx(loss(decoder, batch).item(), abs=1e-5)


def row(**values: object) -> list[TableRow]:
    return [TableRow("row 1", values)]


def test_layouts_of_pairs() -> None:
    question, yes, no = (
        {"role": r, "content": c} for r, c in [("user", "Q"), ("assistant", "yes"), ("assistant", "no")]
    )
    expected = read_preferences(row(chosen=[question, yes], rejected=[question, no]))
    assert read_preferences(row(prompt="Q", chosen="yes", rejected="no")) == expected
    assert read_preferences(row(instruction="Q", input="", chosen="yes", rejected="no")) == expected


def test_pairs_that_tell_nothing_are_refused() -> None:
    for values, what in [
        ({"prompt": "Q", "chosen": "same", "rejected": " same"}, "are equal in every row"),
        ({"prompt": "Q", "chosen": "yes"}, "no pair; columns: prompt, chosen"),
        ({"prompt": "Q", "chosen": "yes", "rejected": ""}, r"message 2 \(assistant\) is empty"),
    ]:
        with pytest.raises(ValueError, match=f"row 1: .*{what}"):
            read_preferences(row(**values))


def test_pairs_whose_answers_are_equal_are_left_out_and_counted() -> None:
    rows = [TableRow(f"row {n}", {"prompt": "Q", "chosen": "yes", "rejected": "no" if n else "yes"}) for n in range(3)]
    found, equal = read_preferences(rows)
    assert (len(found), equal) == (2, 1)


def test_only_the_last_answer_is_compared() -> None:
    tokenizer = FastBPE.train([], 256)
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    both = ([*talk, {"role": "assistant", "content": answer}] for answer in ("d", "e"))
    made, _ = read_preferences(row(chosen=next(both), rejected=next(both)))
    (pair,), left = render_pairs(ChatTemplate(tokenizer), made, 200)
    end = tokenizer.specials["<|im_end|>"]
    assert [id for id, wanted in zip(pair.chosen.ids, pair.chosen.mask, strict=True) if wanted] == [ord("d"), end]
    assert left == 0
    with pytest.raises(ValueError, match="no pair fits 5 tokens"):
        render_pairs(ChatTemplate(tokenizer), made, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefer")
    rows = [{"prompt": f"Is {n} nice?", "chosen": f"Yes, {n}.", "rejected": f"No {n}!"} for n in range(80)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenizer = FastBPE.train([text for each in rows for text in each.values()], 262)
    save_model(folder / "base", SavedModel(build_decoder(tiny(tokenizer.vocabulary_size), 0), tokenizer))
    return folder


@pytest.mark.parametrize(("method", "asked"), [("dpo", 80), ("simpo", 6)])
def test_the_reference_model_is_asked_of_training_pairs_only_where_the_loss_compares(
    method: str, asked: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scratchlm.finetuning import prefer

    real, pairs = prefer.answer_log_probabilities, []
    monkeypatch.setattr(prefer, "answer_log_probabilities", lambda d, b: pairs.append(len(b.ids) // 2) or real(d, b))
    named = {"init": folder / "base", "data": folder / "pairs.jsonl", "out": tmp_path / "run", "dtype": "fp32"}
    finetune_prefer(PreferTrainingConfig(**named, method=method, split="hash:0.1", epochs=0.1, threads=1))
    assert sum(pairs) == asked


@pytest.mark.parametrize("lora", [True, False])
def test_the_divergence_told_is_that_of_the_kept_model_from_the_first(folder: Path, tmp_path: Path, lora: bool) -> None:
    training = TrainingConfig(optimizer=AdamWConfig(learning_rate=0.003), sequence_length=128, sample_every=0)
    named = {"init": folder / "base", "data": folder / "pairs.jsonl", "out": tmp_path / "run", "dtype": "fp32"}
    result = finetune_prefer(PreferTrainingConfig(**named, lora=lora, epochs=0.5, threads=1, training=training))
    now, before = load_model(find_model(tmp_path / "run")), load_model(folder / "base")
    pairs, _ = read_preferences(read_records(folder / "pairs.jsonl"))
    _, held = two_sides(pairs, parse_split("hash:0.25"), lambda each: question_of(each.chosen))
    rendered, _ = render_pairs(ChatTemplate.suited_to(now.tokenizer), held, 128)
    batch = pair_batch(rendered, 128, 0)
    with torch.no_grad():
        both = (next_log_probabilities(model.decoder.eval(), batch) for model in (now, before))
        expected = float(divergence(*both).mean())
    assert result.kl == pytest.approx(expected, rel=1e-4)
    assert result.kl > 1e-4


def test_a_model_with_an_adapter_is_its_own_reference(folder: Path, tmp_path: Path) -> None:
    """The adapter of the model that a run begins from belongs to the reference model."""
    fast = TrainingConfig(optimizer=AdamWConfig(learning_rate=0.01), sequence_length=128, sample_every=0)
    still = dataclasses.replace(fast, optimizer=AdamWConfig(learning_rate=1e-12))
    common = {"data": folder / "pairs.jsonl", "dtype": "fp32", "threads": 1, "epochs": 0.3}
    finetune_prefer(PreferTrainingConfig(init=folder / "base", out=tmp_path / "a", lora=True, training=fast, **common))
    result = finetune_prefer(PreferTrainingConfig(init=tmp_path / "a", out=tmp_path / "b", training=still, **common))
    assert result.margin == pytest.approx(0, abs=1e-4)
    assert result.kl == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_the_optimizers_state_is_gone_when_the_kept_model_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scratchlm.finetuning import prefer

    real, alive = prefer.next_log_probabilities, set()

    def counted(decoder: Decoder, batch: PairBatch) -> torch.Tensor:
        gc.collect()
        alive.add(sum(type(each) is Loop for each in gc.get_objects()))
        return real(decoder, batch)

    monkeypatch.setattr(prefer, "next_log_probabilities", counted)
    named = {"init": folder / "base", "data": folder / "pairs.jsonl", "out": tmp_path / "run", "dtype": "fp32"}
    finetune_prefer(PreferTrainingConfig(**named, epochs=0.1, threads=1))
    assert alive == {0}


@pytest.mark.parametrize("method", ["dpo", slow("ipo"), "kto", slow("orpo"), slow("simpo"), slow("reward")])
def test_every_method_comes_to_prefer_the_chosen_kind(method: str, folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    where = ("--init", folder / "base", "--data", folder / "pairs.jsonl", "--out", out, "--method", method)
    flags = (
        "--epochs",
        "4",
        "--training.optimizer.learning-rate",
        "0.003",
        "--dtype",
        "fp32",
        "--lora",
        "--threads",
        "1",
    )
    code, shown, err = run(capsys, "finetune", "prefer", *where, *flags)
    assert code == 0, err
    result = json.loads((out / "result.json").read_text())
    assert result["accuracy"] == 1.0
    assert result["led"] == 1.0
    assert result["method"] == method
    assert (result["kl"] is None) == (method == "reward")
    assert "is preferred in" in shown
    model = load_model(find_model(out))
    if method == "reward":
        tokenizer = model.tokenizer
        template = ChatTemplate(tokenizer)
        rows = [
            template.render([{"role": "user", "content": "Is 5 nice?"}, {"role": "assistant", "content": answer}])
            for answer in ("Yes, 5.", "No 5!")
        ]
        batch = pair_batch([RenderedPair(*rows)], 200, 0)
        good, bad = rewards(model.decoder, batch).tolist()
        assert good > bad
        assert int((batch.targets[0] != IGNORED).sum()) > 0
    elif method in ("dpo", "ipo", "kto"):
        assert result["margin"] > 0


def test_settings_of_another_loss_are_no_flags(folder: Path, capsys) -> None:
    assert "--loss.margin" in fails(capsys, "finetune", "prefer", "--method", "dpo", "--loss.margin", "1", code=2)
    assert "--loss.beta -1" in fails(capsys, "finetune", "prefer", "--loss.beta", "-1", code=2)


def test_pairs_of_equal_answers_alone_are_refused_by_the_command(folder: Path, tmp_path: Path, capsys) -> None:
    rows = [{"prompt": f"p {n}", "chosen": "same", "rejected": "same"} for n in range(5)]
    (tmp_path / "same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = ("--init", folder / "base", "--data", tmp_path / "same.jsonl", "--out", tmp_path / "run")
    assert "equal" in fails(capsys, "finetune", "prefer", *where)
