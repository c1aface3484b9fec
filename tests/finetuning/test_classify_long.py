"""What a classifier reads of long texts, what it is compared with, and what its threshold is chosen on."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from scratchlm.finetuning.head import add_classes
from scratchlm.generation.classifier import Classifier, class_logits, text_logits
from scratchlm.generation.classrows import encode_rows, encode_texts, parts_of
from scratchlm.text.labelled import Labelled, two_parts
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

FAST = ("--training.optimizer.learning-rate", "0.01", "--training.batch-size", "8", "--dtype", "fp32", "--threads", "1")


def toy() -> SavedModel:
    return SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())


def long_table(path: Path, count: int, context: int) -> Path:
    """Texts twice as long as the context, which say at their ends alone what they are."""
    draw, lines = random.Random(0), ["text,label"]
    for number in range(count):
        loud = number % 2 == 0
        body = "".join(draw.choice("abcdefgh ") for _ in range(2 * context - 6))
        lines.append(f"{body}{'!!!!' if loud else 'xxxx'},{'loud' if loud else 'calm'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_model(folder / "base", toy())
    return folder / "base"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with random weights and a threshold that was chosen."""
    model = toy()
    add_classes(model.decoder, ("ham", "spam"), "last", seed=0)
    model.classes = Classes(("ham", "spam"), positive="spam", threshold=0.25)
    folder = tmp_path_factory.mktemp("spam") / "model"
    save_model(folder, model)
    return folder


def test_head_and_tail_and_windows_take_what_they_say() -> None:
    ids = list(range(10))
    assert parts_of(ids, 4, "head") == [[0, 1, 2, 3]]
    assert parts_of(ids, 5, "head-and-tail") == [[0, 1, 2, 8, 9]]
    assert parts_of(ids, 4, "windows") == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    for long in ("head", "head-and-tail", "windows"):
        assert parts_of(ids, 10, long) == [ids]
    assert parts_of(ids, 1, "head-and-tail") == [[0]]


def test_windows_hold_all_of_a_text_between_its_prompt_and_its_ends() -> None:
    tokenizer = byte_tokenizer()
    rows = encode_rows(tokenizer, ["ab", "abcdefghij"], 7, "<{text}>", "windows")
    end = tokenizer.end_of_text
    texts = [tokenizer.decode(ids[:-1]) for ids in rows.ids]
    assert texts == ["<ab>", "<abcd>", "<defg>", "<ghij>"]
    assert {ids[-1] for ids in rows.ids} == {end}
    assert (rows.text, rows.long) == ([0, 1, 1, 1], 1)


def test_a_text_that_just_fits_is_not_called_long() -> None:
    tokenizer = byte_tokenizer()
    assert encode_rows(tokenizer, ["abcd", "abcde"], 5).long == 1
    assert encode_rows(tokenizer, ["abcd"], 5).ids == encode_texts(tokenizer, ["abcd"], 5)


def test_the_logits_of_windows_are_averaged_and_those_of_short_texts_untouched() -> None:
    model = toy()
    add_classes(model.decoder, ("a", "b", "c"), "last", seed=0)
    rows = encode_rows(model.tokenizer, ["abc", "abcdefghij", "xyz"], 5, long="windows")
    found, each = text_logits(model.decoder, rows), class_logits(model.decoder, rows.ids)
    assert (found[0] == each[0]).all()
    assert (found[2] == each[-1]).all()
    assert np.abs(found[1] - each[1:-1].mean(0)).max() < 1e-6


@pytest.mark.parametrize("long", ["head-and-tail", "windows"])
def test_a_signal_at_the_end_of_long_texts_is_learned_where_more_than_the_beginning_is_read(
    long: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = long_table(tmp_path / "t.csv", 100, toy().decoder.config.context)
    flags = ("--data", data, "--epochs", "6", "--pooling", "mean", "--long", long, *FAST)
    code, _, err = run(capsys, "finetune", "classify", "--init", base, "--out", tmp_path / "run", *flags)
    assert code == 0, err
    told = err.index("100 of 100 texts (100%) are longer than the")
    assert told < err.index("step 0")  # before training
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["scores"]["f1"] > 0.8
    assert (result["long"], result["long_texts"]) == (long, 100)
    assert Classifier.load(tmp_path / "run").classes.long == long


def test_a_linear_model_is_scored_beside_on_the_same_texts_whichever_is_better(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = long_table(tmp_path / "t.csv", 60, toy().decoder.config.context)
    flags = ("--data", data, "--epochs", "0.1", *FAST)  # ours learns nothing
    code, out, err = run(capsys, "finetune", "classify", "--init", base, "--out", tmp_path / "run", *flags)
    assert code == 0, err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    linear, ours = result["baseline"], result["scores"]
    assert linear["f1"] == 1.0 > ours["f1"]
    assert linear["training_texts"] == result["training_texts"] + result["validation_texts"]
    assert linear["seconds"] > 0
    line = next(line for line in out.splitlines() if line.startswith("linear baseline (TF-IDF + SVM): F1 1.000"))
    assert f"ours: F1 {ours['f1']:.3f}" in line
    assert "the linear model scores higher here" in line
    assert "linear baseline (TF-IDF + SVM)" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def noisy_table(path: Path, count: int, seed: int) -> Path:
    """Texts of which an exclamation mark tells the class, wrongly in one of six."""
    draw, lines = random.Random(seed), ["text,label"]
    for _ in range(count):
        loud = draw.random() < 0.5
        letters = "".join(draw.choice("abcdefgh ") for _ in range(9)) + "x"
        lines.append(f"{letters}{'!' if loud != (draw.random() < 1 / 6) else ''},{'loud' if loud else 'calm'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_threshold_and_temperature_do_not_change_with_the_texts_that_are_scored(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy_table(tmp_path / "train.csv", 300, seed=0)
    lines = noisy_table(tmp_path / "one.csv", 60, seed=1).read_text().splitlines()
    turned = [line.replace(",loud", ",?").replace(",calm", ",loud").replace(",?", ",calm") for line in lines]
    (tmp_path / "other.csv").write_text("\n".join(turned) + "\n")  # every held-out text gets the other label
    found = {}
    for name in ("one", "other"):
        flags = ("--data", data, "--held-out", tmp_path / f"{name}.csv", "--epochs", "1", *FAST)
        code, out, err = run(capsys, "finetune", "classify", "--init", base, "--out", tmp_path / name, *flags)
        assert code == 0, err
        assert "where F1 is highest on the validation texts" in out
        found[name] = json.loads((tmp_path / name / "result.json").read_text())
    one, other = found["one"], found["other"]
    assert one["tuned"] is True
    assert all(one[key] == other[key] for key in ("threshold", "temperature", "step"))
    assert one["scores"]["accuracy"] == pytest.approx(1 - other["scores"]["accuracy"])
    labels, positive = one["labels"], one["positive"]
    answers = Classifier.load(tmp_path / "one").classify([line.split(",")[0] for line in lines[1:]])
    assert all((each.label == positive) == (each.probabilities[positive] >= one["threshold"]) for each in answers)
    confusion = np.zeros((2, 2), int)
    for answer, line in zip(answers, lines[1:], strict=True):
        confusion[labels.index(line.split(",")[1]), labels.index(answer.label)] += 1
    assert confusion.tolist() == one["scores"]["confusion"]  # scored at the threshold that is kept


def test_the_texts_to_choose_by_are_a_part_of_each_class_copies_with_copies() -> None:
    texts = [Labelled(f"text {n // 2}" + " " * (n % 2), "a" if n < 360 else "b") for n in range(400)]
    texts += [Labelled("alone", "c"), Labelled("text 0", "b")]  # a class of one text, and a text of two classes
    left, aside = two_parts(texts, 0.1)
    assert two_parts(texts, 0.1) == (left, aside)
    assert sorted(left + aside, key=str) == sorted(texts, key=str)
    assert {each.text.strip() for each in left}.isdisjoint(each.text.strip() for each in aside)
    assert [sum(each.label == label for each in aside) for label in "abc"] == [36, 4, 0]
    assert "text 0" in {each.text for each in left}
    assert two_parts(texts, 0.0) == (texts, [])


def test_few_texts_choose_no_threshold_and_no_text_at_all_no_state(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy_table(tmp_path / "t.csv", 60, seed=0)
    flags = ("--init", base, "--data", data, "--epochs", "0.2", *FAST)
    code, out, _ = run(capsys, "finetune", "classify", *flags, "--out", tmp_path / "few")
    assert code == 0
    assert "from a probability of 0.500 on, for there were too few validation texts" in out
    line = fails(capsys, "finetune", "classify", *flags, "--out", tmp_path / "none", "--validation", "0", code=2)
    assert "--validation 0: leaves no text to choose the best state by; give --keep last too" in line
    arguments = (*flags, "--out", tmp_path / "none", "--validation", "0", "--keep", "last")
    assert run(capsys, "finetune", "classify", *arguments)[0] == 0
    result = json.loads((tmp_path / "none" / "result.json").read_text())
    assert (result["validation_texts"], result["temperature"], result["threshold"]) == (0, 1.0, 0.5)


def test_an_answer_shows_its_threshold(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "classify", classifier, "abc")
    label, probability, threshold, text = out.rstrip("\n").split("\t")
    _, out, _ = run(capsys, "classify", classifier, "abc", "--json")
    answer = json.loads(out)
    assert (label, text, threshold) == (answer["label"], "abc", "spam from 0.250")
    assert float(probability) == pytest.approx(answer["probabilities"][label], abs=5e-4)
    assert (answer["positive"], answer["threshold"]) == ("spam", 0.25)


class Stdin:
    """Standard input with these bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


def test_a_bad_line_is_told_and_the_others_are_answered(
    classifier: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"first\nna\xefve\n\nlast\n"))
    code, out, err = run(capsys, "classify", classifier)
    assert code == 1
    assert [line.split("\t")[-1] for line in out.splitlines()] == ["first", "last"]
    assert "line 2: is not UTF-8" in err
    assert "(empty lines are passed over: 3)" in err
    assert "scratchlm: classify: 1 of 3 texts have no answer (line 2)" in err


def test_marks_and_carriage_returns_are_no_part_of_a_text(
    classifier: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"\xef\xbb\xbffirst\r\n\r\n  \r\nsecond"))
    code, out, _ = run(capsys, "classify", classifier, "--json")
    assert (code, [json.loads(line)["text"] for line in out.splitlines()]) == (0, ["first", "second"])
    monkeypatch.setattr("sys.stdin", Stdin(b"\r\n\n"))
    assert "classify: no text" in fails(capsys, "classify", classifier)
