"""Fine-tuning on few conversations: rewordings, shared beginnings, rehearsal, rules, and what is said of the result."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from commands import run
from scratchlm.base.config import read_toml
from scratchlm.base.errors import UserError
from scratchlm.classic.bm25 import BM25
from scratchlm.commands import COMMANDS
from scratchlm.data.batches import masked_batch
from scratchlm.data.wordings import WordingBatches, batches_of, shared_beginning
from scratchlm.finetuning.config import ClassifyTrainingConfig, InstructTrainingConfig
from scratchlm.finetuning.conversations import exchange
from scratchlm.finetuning.rewording import Rewording
from scratchlm.finetuning.small import (
    MOST_CONVERSATIONS,
    MOST_TOKENS,
    RATE,
    SmallData,
    general_prompts,
    resolve_classify,
    resolve_instruct,
    wordings_of,
)
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.tokens.chat import ChatTemplate, Rendered
from scratchlm.training.config import AdamWConfig
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

QUESTIONS = [f"What is the price of {thing} at the shop?" for thing in ("a lamp", "the table", "red paint", "seeds")]
ROWS = [{"prompt": question, "completion": f"It costs {4 + n}."} for n, question in enumerate(QUESTIONS)]


def test_questions_in_one_row_have_the_loss_and_gradient_of_questions_in_rows_of_their_own() -> None:
    decoder = random_decoder(toy_config("default", context=80)).eval()
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(5, 61, (size,), generator=generator).tolist() for size in (4, 9, 6, 7)]
    samples = [Rendered([1, 2, 3, 4, *ids], [False] * 6 + [True] * (len(ids) - 2)) for ids in drawn]
    shared = shared_beginning(samples)
    assert shared == 4
    batches = WordingBatches(samples, 1, 26, 0, 0, shared, wordings=[1] * 4, others=0)
    packed, _ = next(batches())
    apart = masked_batch(samples, 60, 0)
    assert packed.target_count == apart.target_count
    gradients = []
    for batch in (packed, apart):
        loss = next_token_loss(decoder, batch)
        gradients.append([loss.detach(), *torch.autograd.grad(loss, list(decoder.parameters()))])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_an_epoch_has_each_conversation_once_and_all_wordings_come_in_turn() -> None:
    samples = [Rendered([number, 9], [False, True]) for number in range(12)]
    batches = WordingBatches(samples, 1, 5, 0, 99, wordings=[3, 1, 4], others=2)
    stream = batches()
    orders = [next(stream)[0].ids[0].tolist() for _ in range(12)]
    assert len({tuple(order) for order in orders}) > 9
    seen = Counter(number for order in orders for number in order)
    assert [seen[number] for number in range(12)] == [4, 4, 4, 12, 3, 3, 3, 3, 6, 6, 6, 6]
    assert batches_of(batches) == round(5 / (0.95 * 5))


def test_rewordings_are_new_keep_what_a_question_differs_by_and_hold_some_out() -> None:
    wordings = wordings_of([exchange(q, "-") for q in QUESTIONS], 12, 0, hold_out=True)
    assert wordings == wordings_of([exchange(q, "-") for q in QUESTIONS], 12, 0, hold_out=True)
    assert wordings != wordings_of([exchange(q, "-") for q in QUESTIONS], 12, 1, hold_out=True)
    for question, each in zip(QUESTIONS, wordings, strict=True):
        texts = [row["rewording"] for row in each.rows()]
        assert len(set(texts)) == 13
        assert question not in texts
        assert [row["held_out"] for row in each.rows()] == [False] * 12 + [True]
    plain = Rewording(Rewording.of(QUESTIONS).rare, english=False)
    made = [text for text in plain.reword(QUESTIONS[0], 30, 0) if "lamp" not in text.casefold()]
    assert all(sorted("lamp") == sorted(set(text.casefold()) & set("lamp")) for text in made)  # a typo, no more
    german = Rewording.of(["Was kostet die Lampe?", "Wann wird geliefert?"])
    assert not german.english
    assert not any("please" in text.casefold() for text in german.reword("Was kostet die Lampe?", 9, 0))


def test_whom_many_questions_are_about_is_asked_as_you() -> None:
    questions = ["Where is the Acme shop?", "Does Acme sell tea?", "What is Acme's number?", "Who is Ann?", "Is Bo in?"]
    rules = Rewording.of(questions)
    assert rules.names == {"Acme"}
    made = {
        question: {text.casefold().rstrip(" ?") for text in rules.reword(question, 80, 0)} for question in questions
    }
    assert "where is your shop" in made[questions[0]]
    assert "do you sell tea" in made[questions[1]]
    assert any("your number" in text for text in made[questions[2]])
    assert not any("you" in text.split() for text in made[questions[3]] if "do you know" not in text)


def test_a_name_may_have_several_words_and_a_weekday_is_none() -> None:
    named = [
        f"Does Acme Animal Clinic {what}?" for what in ("treat birds in the night", "open on the hour", "sell it to us")
    ]
    assert Rewording.of(named).names == {"Acme Animal Clinic"}
    assert any(
        "do you treat birds in the night" in text.casefold() for text in Rewording.of(named).reword(named[0], 40, 0)
    )
    assert not Rewording.of([f"When do you {what} on Saturday?" for what in ("open", "close", "deliver")]).names


def test_conversations_of_several_turns_are_not_reworded() -> None:
    messages = [*exchange("What is it?", "A lamp."), *exchange("How much?", "Four.")]
    assert wordings_of([messages], 5, 0, hold_out=True)[0].rows() == []


def test_general_prompts_are_rehearsed_or_asked_afterwards_never_both() -> None:
    rehearsed, apart = general_prompts()
    assert len(rehearsed) > 40
    assert len(apart) > 10
    assert not set(rehearsed) & set(apart)


def test_the_rules_fill_what_was_left_open_for_small_data_alone() -> None:
    base, few = InstructTrainingConfig(lora=True), [exchange(question, "-") for question in QUESTIONS]
    samples = [Rendered(list(range(50)), [False] * 40 + [True] * 10)] * len(few)
    small = resolve_instruct(base, few, samples, 4, True)
    assert small.reply_tokens == 26
    assert (small.split, small.rewordings, small.general) == ("rewordings", 16, 0.25)
    assert small.training.optimizer.learning_rate > base.training.optimizer.learning_rate
    assert small.adapter.first_layer == 2  # of four
    long = [Rendered([0] * MOST_TOKENS, [True] * MOST_TOKENS)] * 2
    for many, of_many, split in ((few * MOST_CONVERSATIONS, samples, "hash:0.1"), (few, long, "hash:0.25")):
        assert resolve_instruct(base, many, of_many, 4, True) == dataclasses.replace(
            base, rewordings=0, general=0.0, epochs=3.0, split=split
        )
    assert resolve_instruct(base, few, samples, 4, False).general == 0.0
    assert resolve_instruct(base, [[*few[0], *few[1]]], samples, 4, True).split == "hash:0.25"
    asked = dataclasses.replace(
        base, epochs=7.0, rewordings=0, general=0.1, split="tail:0.5", adapter=LoRAConfig(rank=4)
    )
    kept = resolve_instruct(asked, few, samples, 4, True)
    assert kept.adapter == LoRAConfig(rank=4, first_layer=2)
    assert (kept.epochs, kept.rewordings, kept.general, kept.split) == (7.0, 0, 0.1, "tail:0.5")


@pytest.mark.parametrize(("texts", "epochs", "rows"), [(8, 30, 8), (80, 15, 8), (300, 150 / 38, 8), (301, 3, 16)])
def test_few_labelled_texts_are_seen_in_enough_steps(texts: int, epochs: float, rows: int) -> None:
    few = resolve_classify(ClassifyTrainingConfig(), texts, texts, 4)
    assert (few.epochs, few.training.batch_size) == (pytest.approx(epochs), rows)
    assert (few.adapter, few.training.optimizer) == (ClassifyTrainingConfig().adapter, _usual_optimizer())
    with_adapters = resolve_classify(ClassifyTrainingConfig(lora=True, epochs=2.0), texts, texts, 4)
    assert with_adapters.epochs == 2.0
    fast = with_adapters.training.optimizer.learning_rate > _usual_optimizer().learning_rate
    assert (fast, with_adapters.adapter.first_layer) == ((True, 2) if texts <= 300 else (False, 0))


def _usual_optimizer() -> AdamWConfig:
    return ClassifyTrainingConfig().training.optimizer


def test_texts_that_are_read_in_windows_are_seen_as_often_as_their_rows_need() -> None:
    assert resolve_classify(ClassifyTrainingConfig(long="windows"), 40, 800, 4).epochs == 3.0


def test_what_was_given_stays_although_it_is_the_usual_value(tmp_path: Path) -> None:
    """From the command line, from Python and from a recipe; what stands beside it is chosen all the same."""
    (tmp_path / "mine.toml").write_text("[training]\nbatch_size = 16\n[training.optimizer]\nlearning_rate = 2e-4\n")
    places = ("--init", "i", "--data", "d", "--out", "o", "--lora")
    classify = COMMANDS["finetune classify"]
    size, rate, layer = ("--training.batch-size", "16"), ("--lr", "2e-4"), ("--adapter.first-layer", "0")
    named = {"init": "i", "data": "d", "out": "o", "lora": True}
    overrides = {"training.batch_size": 16, "training.optimizer.learning_rate": 2e-4}
    cases = [
        (classify.from_arguments([*places, *size]), (16, RATE, 2)),
        (classify.from_arguments([*places, *rate, *layer]), (8, 2e-4, 0)),
        (
            classify.from_arguments([*places, "--training.optimizer.weight-decay", "0"]),
            (8, RATE, 2),
        ),
        (classify.from_arguments([str(tmp_path / "mine.toml"), *places]), (16, 2e-4, 2)),
        (classify.from_call((), named, overrides), (16, 2e-4, 2)),
    ]
    for config, expected in cases:
        few = resolve_classify(config, 40, 40, 4)
        chosen = few.training.batch_size, few.training.optimizer.learning_rate, few.adapter.first_layer
        assert chosen == expected


def test_bm25_equals_a_score_by_hand_and_finds_the_nearest() -> None:
    index = BM25(["red lamp", "red red table here"])
    # "lamp" is in one of two documents: idf = ln(1 + 1.5 / 1.5); lengths 2 and 4, mean 3
    expected = 0.6931472 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 3))
    assert index.scores(["Lamp lamp?"])[0].tolist() == pytest.approx([expected, 0.0], rel=1e-6)
    assert index.nearest(["which table", "a lamp"]) == [1, 0]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=300))
    save_model(tmp_path / "base", SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))
    (tmp_path / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


STEPS = ("--lora", "--steps", "3", "--reply-tokens", "4", "--dtype", "fp32", "--threads", "1")
FLAGS = (*STEPS, "--general", "0", "--rewordings", "2")


def test_few_rows_are_reworded_and_rehearsed_and_the_run_says_what_it_holds_out(base: Path, capsys) -> None:
    where = ("--init", base / "base", "--data", base / "talk.jsonl", "--out", base / "run")
    code, out, err = run(capsys, "finetune", "instruct", *where, *STEPS)
    assert code == 0, err
    assert "held out: 4 rewordings" in err
    assert "right in rewordings that training never had: 0 of 4" in out
    assert "hardly changed" not in out or "--steps 9" in out
    result = json.loads((base / "run" / "result.json").read_text())
    assert result["recall"]["questions"] == 4
    assert result["recall"]["bm25"] == 4
    assert "BM25" in (base / "run" / "report.html").read_text(encoding="utf-8")
    assert result["recall"]["general"] == 14
    general = [json.loads(line) for line in (base / "run" / "general.jsonl").read_text().splitlines()]
    assert all(row["answer"] for row in general)
    rows = [json.loads(line) for line in (base / "run" / "rewordings.jsonl").read_text().splitlines()]
    assert {row["question"] for row in rows} == set(QUESTIONS)
    recipe = (base / "run" / "recipe.toml").read_text()
    assert 'split = "rewordings"  # rule' in recipe
    assert "steps = 3  # flag" in recipe


def test_the_interval_of_evaluations_is_the_one_that_was_asked_for(base: Path, capsys) -> None:
    where = ("--init", base / "base", "--data", base / "talk.jsonl", "--out", base / "run")
    assert run(capsys, "finetune", "instruct", *where, *FLAGS, "--training.evaluate-every", "2")[0] == 0
    assert read_toml(base / "run" / "recipe.toml")["training"]["evaluate_every"] == 2
    lines = [json.loads(line) for line in (base / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [0, 2, 3]


def test_of_a_model_that_hardly_changed_the_run_says_so_with_what_to_try(base: Path, capsys) -> None:
    where = ("--init", base / "base", "--data", base / "talk.jsonl", "--out", base / "run")
    rate = ("--training.optimizer.learning-rate", "1e-9")
    out = run(capsys, "finetune", "instruct", *where, *FLAGS, *rate)[1]
    assert "It has hardly changed. 0 of 4 held-out answers differ from before." in " ".join(out.split())
    assert "--steps 9" in out


def test_documents_are_not_rehearsed_beside_general_questions() -> None:
    with pytest.raises(UserError, match="--rehearse: not beside --rewordings or --general"):
        InstructTrainingConfig(rehearse=Path("books.jsonl"), general=0.5)


def test_a_stopped_run_on_few_rows_goes_on_bit_for_bit(base: Path, capsys) -> None:
    where = ("--init", base / "base", "--data", base / "talk.jsonl")
    every = ("--training.checkpoint-every", "2", "--training.evaluate-every", "2")
    more = ("--general", "0.5")
    for name in ("whole", "stopped"):
        assert run(capsys, "finetune", "instruct", *where, "--out", base / name, *STEPS, *more, *every)[0] == 0
    newest = max((base / "stopped" / "checkpoints").iterdir(), key=lambda path: path.name)
    kept = load_model(base / "whole" / "model", base=base / "base").decoder.state_dict()
    shutil.rmtree(newest)
    shutil.rmtree(base / "stopped" / "model")
    assert run(capsys, "finetune", "instruct", "--resume", base / "stopped")[0] == 0
    again = load_model(base / "stopped" / "model", base=base / "base").decoder.state_dict()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_run_whose_model_answered_no_general_question_goes_on(base: Path, tmp_path: Path) -> None:
    (tmp_path / "general.jsonl").write_text("")
    config = InstructTrainingConfig(out=tmp_path, resume=tmp_path, rewordings=2, general=0.5)
    small = SmallData(config, load_model(base / "base"), [exchange(question, "-") for question in QUESTIONS])
    small.answer_general(load_model(base / "base"))
    assert (small.prompts, small.general) == ([], [])
