"""The linear model that `finetune classify` keeps beside the network, and which of the two answers."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from commands import fails, run
from scratchlm.classic.linear import LinearTexts
from scratchlm.evaluation.classes import best_temperature, calibration_error, helpful_temperature, softmax
from scratchlm.finetuning.baseline import Baseline, linear_baseline
from scratchlm.generation.classifier import Classifier, LinearClassifier
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from scratchlm.weights.linear import HeldOutF1, LinearSettings, read_linear
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

FAST = ("--training.optimizer.learning-rate", "0.01", "--training.batch-size", "8", "--dtype", "fp32", "--threads", "1")
WORDS = {"pay": "card fee bill cost", "ship": "parcel post truck box", "open": "hour noon door shop"}


def toy() -> SavedModel:
    return SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())


def texts_of(count: int, seed: int, labels: tuple[str, ...] = tuple(WORDS)) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    pairs = []
    for _ in range(count):
        label = draw.choice(labels)
        words = [draw.choice(WORDS[label if draw.random() < 0.7 else draw.choice(labels)].split()) for _ in range(5)]
        pairs.append((" ".join(words) + f" {draw.randrange(99)}", label))
    return pairs


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("Message,Category\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network learned next to nothing: its prompt leaves it few characters of each text."""
    from scratchlm.cli import main

    folder = tmp_path_factory.mktemp("tickets")
    save_model(folder / "base", toy())
    data, held_out = table(folder / "tickets.csv", texts_of(160, 0)), table(folder / "held.csv", texts_of(90, 5))
    flags = ("--init", str(folder / "base"), "--data", str(data), "--held-out", str(held_out), "--epochs", "0.2")
    main(["finetune", "classify", *flags, "--out", str(folder / "run"), *FAST, "--prompt", "abc{text}abcdefghijklmn"])
    return folder / "run"


@pytest.mark.parametrize("labels", [("pay", "ship"), ("pay", "ship", "open")])
@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_a_stored_linear_model_gives_scikit_learns_probabilities(
    labels: tuple[str, ...], classifier: str, tmp_path: Path
) -> None:
    pairs = texts_of(90, 1, labels)
    fitted = LinearTexts("words + characters", classifier)  # type: ignore[arg-type]
    fitted.fit([text for text, _ in pairs], [labels.index(label) for _, label in pairs])
    model = toy()
    model.linear = fitted.kept(LinearSettings(labels, HeldOutF1(9, 1.0, 0.5), {}))
    save_model(tmp_path / "model", model)
    stored = read_linear(tmp_path / "model")
    assert stored is not None
    others = [text for text, _ in texts_of(40, 2, labels)] + ["", "none of these words", "Größe  ÄÖ"]
    expected = fitted.predict_proba(others)  # LogisticRegression.predict_proba, or of LinearSVC.decision_function
    assert np.abs(stored.probabilities(others) - expected).max() < 1e-12
    assert np.abs(stored.probabilities(others).sum(1) - 1).max() < 1e-12
    listed = json.loads((tmp_path / "model" / "files.json").read_text())
    assert {"linear.json", "linear.safetensors"} <= listed.keys()


def test_the_better_one_answers_and_it_is_said_by_what_it_was_chosen(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((trained / "result.json").read_text())
    assert result["baseline"]["f1"] > result["scores"]["f1"] + 0.2  # the network was trained for a fifth of an epoch
    code, out, err = run(capsys, "classify", trained, "card fee bill", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["label"] == "pay"
    assert f"(the linear model answers: F1 {result['baseline']['f1']:.3f} on" in err
    assert (
        f"the network {result['scores']['f1']:.3f}; chosen on these texts, so a little too high; --use network" in err
    )
    linear = run(capsys, "classify", trained, "card fee bill", "--json", "--use", "linear")
    assert (json.loads(linear[1]), linear[2]) == (answer, "")
    network = json.loads(run(capsys, "classify", trained, "card fee bill", "--json", "--use", "network")[1])
    assert network["probabilities"] != answer["probabilities"]
    assert network["probabilities"] == Classifier.load(trained).classify(["card fee bill"])[0].probabilities
    assert " is empty; give some text" in run(capsys, "classify", trained, " ", "card")[2]


def test_of_few_texts_it_says_that_a_network_learns_little() -> None:
    few = Baseline(0.7, (0.5, 0.9), 0.7, 133, None, 0.8, 1.0, 1.0)
    assert "133 texts are few to fine-tune on" in str(few.advice(0.0))
    assert "leaves a network little to gain" in str(replace(few, cross_validated=0.99).advice(0.0))
    assert replace(few, training_texts=400).advice(0.0) is None


def test_its_score_and_the_advice_come_before_training(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "t.csv", [(f"{'card fee' if n % 2 else 'noon door'} {n}", "ab"[n % 2]) for n in range(60)])
    flags = ("--init", trained.parent / "base", "--data", data, "--out", tmp_path / "run", "--epochs", "0.2", *FAST)
    code, _, err = run(capsys, "finetune", "classify", *flags)
    assert code == 0, err
    score = err.index("3-fold cross-validated on the training texts 1.000")
    advice = err.index("advice: with an F1 of 1.000, the linear model leaves a network little to gain")
    assert score < advice < err.index("step 0")
    long = table(tmp_path / "long.csv", [(f"{'card fee ' * 40}{n}", "ab"[n % 2]) for n in range(40)])
    err = run(capsys, "finetune", "classify", *flags[:2], "--data", long, *flags[4:], "--force")[2]
    assert err.index("advice: 100% of the texts are longer than the network reads at once") < err.index("step 0")


def test_the_linear_model_learns_nothing_from_the_texts_it_is_scored_on(tmp_path: Path) -> None:
    draw = random.Random(3)
    names = ["".join(draw.choice("abcdefghijklmnop") for _ in range(12)) for _ in range(120)]
    truth = [draw.randrange(2) for _ in names]  # by chance: who has seen a text knows it, and nobody else
    held_out, held_truth = names[90:], np.array(truth[90:])
    baseline, model = linear_baseline(names[:90], truth[:90], held_out, held_truth, None)
    assert baseline.accuracy < 0.8
    assert baseline.cross_validated is not None
    assert baseline.cross_validated < 0.75
    assert (model.margins(names[:90]).argmax(1) == truth[:90]).all()


def test_an_older_folder_answers_by_its_network_and_has_no_linear_model(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(trained / "model")
    assert model.linear is not None
    model.linear = None
    save_model(tmp_path / "old", model)
    code, _, err = run(capsys, "classify", tmp_path / "old", "card")
    assert (code, err) == (0, "")
    assert "holds no linear model" in fails(capsys, "classify", tmp_path / "old", "card", "--use", "linear")


def _rehashed(folder: Path, name: str) -> None:
    stored = json.loads((folder / "files.json").read_text())
    stored[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "files.json").write_text(json.dumps(stored))


@pytest.mark.parametrize("damage", ["truncated", "shorter weights", "nan", "no labels", "later format", "gone"])
def test_a_damaged_linear_model_is_refused_in_one_line(
    damage: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained / "model", folder)
    weights, settings = folder / "linear.safetensors", folder / "linear.json"
    match damage:
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-9])
        case "shorter weights" | "nan":
            arrays = load_file(weights)
            arrays["weights"] = arrays["weights"][:, 1:] if damage == "shorter weights" else arrays["weights"] * np.nan
            save_file(arrays, weights)
        case "gone":
            weights.unlink()
        case _:
            stored = json.loads(settings.read_text())
            stored |= {"labels": []} if damage == "no labels" else {"format": 99}
            settings.write_text(json.dumps(stored))
    for name in ("linear.json", "linear.safetensors"):
        if damage not in ("truncated", "gone"):
            _rehashed(folder, name)
    line = fails(capsys, "classify", folder, "card")
    assert "linear." in line


def test_a_temperature_that_does_not_help_unseen_texts_is_not_applied() -> None:
    draw = np.random.default_rng(0)
    margins = draw.normal(size=400) * 2
    truth = (draw.random(400) < 1 / (1 + np.exp(-margins))).astype(np.int64)
    right = np.stack([np.zeros(400), margins], 1)  # calibrated as it is
    for factor in (3.0, 0.3):
        found = helpful_temperature(right * factor, truth)
        assert found == pytest.approx(best_temperature(right * factor, truth))
        assert calibration_error(softmax(right * factor, found), truth) < calibration_error(
            softmax(right * factor), truth
        )
    few = np.flatnonzero(draw.random(400) < 0.03)
    assert helpful_temperature(right[few], truth[few]) == 1.0 != best_temperature(right[few], truth[few])


def test_only_errors_from_the_named_probability_on_are_called_sure(trained: Path) -> None:
    mistakes = json.loads((trained / "result.json").read_text())["mistakes"]
    texts = texts_of(90, 5)
    answers = Classifier.load(trained).classify([text for text, _ in texts])
    wrong = sorted(
        (-max(each.probabilities.values()), each.text)
        for each, (_, label) in zip(answers, texts, strict=True)
        if each.label != label
    )
    sure = [text for probability, text in wrong if probability <= -0.9]
    assert len(wrong) > len(sure)
    assert [each["text"] for each in mistakes] == sure[:20]
    assert "0.9 or more" in (trained / "report.html").read_text(encoding="utf-8")


def test_a_linear_classifier_says_what_it_is(trained: Path) -> None:
    assert repr(LinearClassifier.load(trained)).startswith("<LinearClassifier: ")
    assert LinearClassifier.load(trained).classify([]) == []
