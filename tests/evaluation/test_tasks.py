"""Tasks: files read into items, answers scored, few-shot examples sampled, models prompted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import standard_error
from scratchlm.evaluation import prompting
from scratchlm.evaluation.likelihood import Likelihood
from scratchlm.evaluation.prompting import Prompting, ask
from scratchlm.evaluation.scoring import ItemRecord, answer_record, choice_record, mean_over_sets, scores_of
from scratchlm.evaluation.tasks import EvaluationTask, TaskItem, read_task
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


def file(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def model(context: int = 400) -> SavedModel:
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=context)
    return SavedModel(random_decoder(config), byte_tokenizer())


ROWS: dict[str, list[tuple[dict[str, Any], TaskItem]]] = {
    "arc-easy": [
        (
            {"query": "Question: Why?\nAnswer:", "choices": ["so", "no"], "gold": 1},
            TaskItem("", ("Question: Why?\nAnswer:",), (" so", " no"), 1),
        ),
        (
            {"question": "Why?", "choices": {"text": ["so", "no"], "label": ["A", "B"]}, "answerKey": "B"},
            TaskItem("", ("Question: Why?\nAnswer:",), (" so", " no"), 1),
        ),
    ],
    "choices": [
        (
            {
                "question": {"stem": "Why?", "choices": [{"text": "so", "label": "A"}, {"text": "no", "label": "B"}]},
                "answerKey": "A",
            },
            TaskItem("", ("Question: Why?\nAnswer:",), (" so", " no"), 0),
        )
    ],
    "openbookqa": [
        (
            {"question_stem": "The sun is", "choices": {"text": ["hot", "wet"], "label": ["A", "B"]}, "answerKey": "A"},
            TaskItem("", ("The sun is",), (" hot", " wet"), 0),
        )
    ],
    "hellaswag": [
        (
            {
                "activity_label": "Baking",
                "ctx_a": "A man bakes [title] bread.",
                "ctx_b": "he",
                "label": "1",
                "endings": ["runs [header] off.", "eats it."],
            },
            TaskItem("", ("Baking: A man bakes. bread. He",), (" runs off.", " eats it."), 1),
        )
    ],
    "copa": [
        (
            {
                "premise": "It rained.",
                "choice1": "The street got wet.",
                "choice2": "The sun rose.",
                "question": "effect",
                "label": 0,
            },
            TaskItem("", ("It rained therefore",), (" the street got wet.", " the sun rose."), 0),
        )
    ],
    "winogrande": [
        (
            {"sentence": "Ann saw Bo and _ waved.", "option1": "Ann", "option2": "Bo", "answer": "2"},
            TaskItem("", ("Ann saw Bo and Ann", "Ann saw Bo and Bo"), (" waved.", " waved."), 1, "Ann/Bo"),
        )
    ],
    "blimp": [
        (
            {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."},
            TaskItem("", ("",), (" Cats sleep.", " Cats sleeps.")),
        )
    ],
    "lambada": [
        ({"context": "He ate the", "continuation": "cake"}, TaskItem("", ("He ate the",), (" cake",))),
        ({"text": "He ate the cake"}, TaskItem("", ("He ate the",), (" cake",))),
    ],
    "gsm8k": [
        (
            {"question": "1+999?", "answer": "It is 1000.\n#### 1,000"},
            TaskItem("", ("Question: 1+999?\nAnswer:",), ("1000",), worked=" It is 1000.\n#### 1,000"),
        )
    ],
}


@pytest.mark.parametrize("name", ROWS)
def test_known_layouts_are_read(name: str, tmp_path: Path) -> None:
    path = file(tmp_path / "set.jsonl", *[row for row, _ in ROWS[name]])
    task = read_task(f"{name}={path}")
    assert [replace(item, id="") for item in task.items] == [item for _, item in ROWS[name]]
    assert len({item.id for item in task.items}) == len(task.items)
    assert len(task.digest) == 64


def test_a_folder_holds_sets_and_lines_that_are_no_items_are_named(tmp_path: Path) -> None:
    pair = {"sentence_good": "a", "sentence_bad": "b"}
    for name in ("one", "two"):
        file(tmp_path / f"{name}.jsonl", pair, pair)
    assert [item.set for item in read_task(f"blimp={tmp_path}").items] == ["one", "one", "two", "two"]
    bad = file(tmp_path / "two.jsonl", pair, {"sentence_good": "a"}, {"sentence_good": "a", "sentence_bad": " "})
    with pytest.raises(UserError, match=r"two\.jsonl, line 2: no item of blimp .*line 3.*an answer is empty"):
        read_task(f"blimp={tmp_path}")
    bad.write_text('{"sentence_good": "a"', encoding="utf-8")
    with pytest.raises(UserError, match=r"two\.jsonl, line 1: not valid JSON"):
        read_task(f"pairs={bad}")
    for spec, told in (
        ("arc-esy=x", "did you mean 'arc-easy'"),
        ("arc-easy", "name its file"),
        ("lambada=/nowhere", "no such file"),
        (f"choices={file(tmp_path / 'c.jsonl', {'query': 'q', 'choices': ['a', 'b'], 'gold': 2})}", "number 2 of 2"),
        (f"choices={file(tmp_path / 'd.jsonl', {'query': 'q', 'choices': ['a'], 'gold': 0})}", "at least two"),
        (f"gsm8k={file(tmp_path / 'e.jsonl', {'question': 'q', 'answer': 'none'})}", "#### and a number"),
        (f"gsm8k={file(tmp_path / 'f.jsonl', {'question': 'q', 'answer': '#### 5 apples'})}", "#### and a number"),
        (f"choices={file(tmp_path / 'g.jsonl', {'query': 'q', 'choices': 'ab', 'gold': 0})}", "not a list"),
        (f"classes={tmp_path}", "is a folder"),
    ):
        with pytest.raises(UserError, match=told):
            read_task(spec)


def test_each_normalisation_chooses_by_its_own_rule() -> None:
    item = TaskItem("x", ("q",), (" éé", " abcdef", " xyz"), gold=0)
    found = [Likelihood(-4.0, 2, False), Likelihood(-6.0, 1, False), Likelihood(-3.5, 1, False)]
    bare = [Likelihood(-9.0, 2, False), Likelihood(-5.0, 1, False), Likelihood(-3.0, 1, False)]
    names = ("raw", "characters", "bytes", "tokens", "unconditional")
    right = {name: choice_record(item, found, bare, [name]).values[f"accuracy ({name})"] for name in names}
    # -4, -6, -3.5; by characters -2, -1, -1.17; by bytes -1, -1, -1.17; by tokens -2, -6, -3.5; minus bare 5, -1, -0.5
    assert right == {"raw": 0.0, "characters": 0.0, "bytes": 0.5, "tokens": 1.0, "unconditional": 1.0}


def test_written_answers_are_scored() -> None:
    item = TaskItem("x", ("q",), ("1000",))
    for text, last, marked in (
        ("it is 1,000.", 1.0, 0.0),
        ("3 and #### 1000 or 7", 0.0, 1.0),
        ("none", 0.0, 0.0),
        ("#### -1000", 0.0, 0.0),
    ):
        assert answer_record(item, text, "number").values == {"last number": last, "marked number": marked}
    item = TaskItem("x", ("q",), ("The red hat.",))
    assert answer_record(item, " The red hat. ", "text").values == {"exact": 1.0, "same words": 1.0}
    assert answer_record(item, "the red hat", "text").values == {"exact": 0.0, "same words": 1.0}
    assert answer_record(item, "a red hat", "text").values == {"exact": 0.0, "same words": 0.0}


def test_a_score_is_a_mean_with_its_error_over_clusters_or_over_sets() -> None:
    plain = [ItemRecord(str(n), {"accuracy": float(n < 3)}) for n in range(4)]
    score = scores_of(plain)["accuracy"]
    assert score.value == 0.75
    assert score.error == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    twins = [replace(record, cluster=str(int(record.id) // 2)) for record in plain]
    # residuals by cluster: 0.5 and -0.5; twice their squares, over 4
    assert scores_of(twins)["accuracy"].error == pytest.approx(math.sqrt(2 * 0.5) / 4)
    sets = [replace(record, set="ab"[int(record.id) > 0]) for record in plain]
    assert scores_of(sets)["accuracy"].value == pytest.approx((1 + 2 / 3) / 2)
    words = [ItemRecord(str(n), {"accuracy": 0.0, "nats": -float(n)}) for n in range(3)]
    assert scores_of(words)["perplexity"].value == pytest.approx(math.e)
    far = [ItemRecord(str(n), {"accuracy": 0.0, "nats": -1e6 * n}) for n in range(3)]
    assert scores_of(far)["perplexity"].value == math.inf


def test_sets_are_fixed_and_their_difference_adds_no_error() -> None:
    values = [1.0] * 10 + [0.0] * 1000
    records = [ItemRecord(str(n), {"accuracy": value}, set="ab"[n >= 10]) for n, value in enumerate(values)]
    assert mean_over_sets(records, values) == (0.5, 0.0)
    spread = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    records = [ItemRecord(str(n), {}, set="ab"[n >= 4]) for n in range(6)]
    expected = (standard_error(spread[:4]) ** 2 + standard_error(spread[4:]) ** 2) ** 0.5 / 2
    assert mean_over_sets(records, spread) == (0.75, pytest.approx(expected))


def test_a_cluster_may_be_named_0(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}", "answer": "a", "cluster": n // 2} for n in range(4)]
    assert [item.cluster for item in read_task(f"answers={file(tmp_path / 'a.jsonl', *rows)}").items] == list("0011")


def test_a_question_is_never_cut_away_for_its_answer(tmp_path: Path) -> None:
    rows = [{"question": f"What is {word}?", "answer": "a"} for word in ("this", "that")]
    task = read_task(f"answers={file(tmp_path / 'a.jsonl', *rows)}")
    saved = model(context=64)
    prompts: list[list[int]] = []
    real = prompting.continue_batch

    def spy(decoder: Any, cut: Any, *more: Any, **named: Any) -> Any:
        prompts.extend(cut)
        return real(decoder, cut, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompting, "continue_batch", spy)
        ask(saved, task, Prompting(answer_tokens=500))
    texts = [saved.tokenizer.decode(ids) for ids in prompts]
    assert texts == ["Question: What is this?\nAnswer:", "Question: What is that?\nAnswer:"]
    assert len(prompting.fitted(range(500), 100, 64)) == 32


def test_shuffling_leaves_the_frame_of_a_question(tmp_path: Path) -> None:
    item = TaskItem("x", ("Question: a b c d e f\nAnswer:",), (" g", " h"))
    (mixed,) = prompting.shuffled_words(item, 0).prompts
    assert mixed.startswith("Question: ")
    assert mixed.endswith("\nAnswer:")
    assert sorted(mixed[10:-8].split()) == list("abcdef")
    assert mixed != item.prompts[0]
    pairs = read_task(f"pairs={file(tmp_path / 'p.jsonl', {'sentence_good': 'a b', 'sentence_bad': 'b a'})}")
    with pytest.raises(UserError, match="no prompts"):
        ask(model(), pairs, Prompting(normalisations=("unconditional",)))


def test_a_model_is_scored_on_each_kind_of_task(tmp_path: Path) -> None:
    saved = model()
    rows = [{"query": f"{n}+1=", "choices": ["2", "3", "44"], "gold": n % 3} for n in range(6)]
    task = read_task(f"choices={file(tmp_path / 'c.jsonl', *rows)}")
    result = ask(saved, task, Prompting(rows=2), control=True)
    assert result.chance == pytest.approx(1 / 3)
    assert set(result.scores) == {"accuracy (raw)", "accuracy (characters)"} == set(result.shuffled or ())
    for record, row in zip(result.records, rows, strict=True):
        best = max(range(3), key=lambda index: record.nats[index])
        assert record.values["accuracy (raw)"] == float(best == row["gold"])
    pairs = read_task(f"pairs={file(tmp_path / 'p.jsonl', {'sentence_good': 'a b', 'sentence_bad': 'b a'})}")
    assert ask(saved, pairs, Prompting()).items == 1
    words = read_task(f"last-word={file(tmp_path / 'w.jsonl', {'text': 'one two'}, {'text': 'two three'})}")
    assert set(ask(saved, words, Prompting()).scores) == {"accuracy", "perplexity"}
    answers = read_task(f"answers={file(tmp_path / 'a.jsonl', {'question': 'Who?', 'answer': 'me'})}")
    found = ask(saved, answers, Prompting(answer_tokens=5))
    assert found.records[0].asked == "Question: Who?\nAnswer:"
    with pytest.raises(UserError, match="chat template"):
        ask(saved, read_task("storyworld"), Prompting())
    with pytest.raises(UserError, match="no prompts that examples"):
        ask(saved, pairs, Prompting(shots=1))


def test_few_shot_examples_are_reproducible_and_never_the_item_itself(tmp_path: Path) -> None:
    rows = [{"query": f"{n}+1=", "choices": [str(n + 1), "no"], "gold": 0} for n in range(4)]
    task = read_task(f"choices={file(tmp_path / 'c.jsonl', *rows)}")
    first, again = (ask(model(), task, Prompting(shots=3)).records for _ in range(2))
    assert [record.nats for record in first] == [record.nats for record in again]
    assert [record.nats for record in first] != [record.nats for record in ask(model(), task, Prompting()).records]
    with pytest.raises(UserError, match=r"--shots 4: only 3 examples"):
        ask(model(), task, Prompting(shots=4))
    one = EvaluationTask("choices", task.of, task.items[:1])
    by_hand = TaskItem("x", ("0+1= 1\n\n0+1=",), one.items[0].answers, 0)
    expected = ask(model(), EvaluationTask("choices", task.of, [by_hand]), Prompting()).records[0].nats
    given = ask(model(), one, Prompting(shots=1, examples=[replace(task.items[0], id="other")])).records[0].nats
    assert given == pytest.approx(expected, abs=1e-4)


def test_how_a_task_is_scored_depends_on_its_kind_not_its_name(tmp_path: Path) -> None:
    saved = model()
    for known, own in (("gsm8k", "sums"), ("answers", "gsm8k")):
        given = read_task(f"{known}={file(tmp_path / 'g.jsonl', {'question': '1+1?', 'answer': 'So #### 2'})}")
        renamed = EvaluationTask(own, given.of, given.items)
        scores = [set(ask(saved, task, Prompting(answer_tokens=3)).scores) for task in (given, renamed)]
        wanted = {"gsm8k": {"last number", "marked number"}, "answers": {"exact", "same words"}}[known]
        assert scores[0] == scores[1] == wanted


def test_a_limit_samples_items_by_the_seed(tmp_path: Path) -> None:
    rows = [{"text": f"word {n}"} for n in range(50)]
    task = read_task(f"last-word={file(tmp_path / 'w.jsonl', *rows)}")
    drawn = [[r.id for r in ask(model(), task, Prompting(limit=5, seed=seed)).records] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 5
