"""`scratchlm finetune classify` and `scratchlm classify`: what a classifier learns, keeps, and refuses."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.data.batches import LabelledBatches
from scratchlm.finetuning.head import add_classes, balanced_weights
from scratchlm.generation.classifier import Classifier, class_logits
from scratchlm.generation.classrows import encode_texts
from scratchlm.model.lora import adapted
from scratchlm.text.config import SplitConfig
from scratchlm.text.labelled import Labelled
from scratchlm.text.split import two_sides
from scratchlm.training.loss import class_loss, plain_class_loss
from scratchlm.weights.checkpoint import Classes, SavedModel, find_model, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

FAST = ("--training.optimizer.learning-rate", "0.01", "--training.batch-size", "8", "--dtype", "fp32", "--threads", "1")


def toy(name: str = "default") -> SavedModel:
    return SavedModel(random_decoder(toy_config(name, vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())


def table(path: Path, count: int = 120, seed: int = 0) -> Path:
    """Texts of letters, called `loud` where there is an exclamation mark, which is one of four."""
    draw, lines = random.Random(seed), ["text,label"]
    for _ in range(count):
        letters = "".join(draw.choice("abcdefgh ") for _ in range(draw.randint(3, 12))) + "x"
        loud = draw.random() < 0.25
        lines.append(f"{letters + '!' if loud else letters},{'loud' if loud else 'calm'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    save_model(folder / "base", toy())
    table(folder / "train.csv")
    table(folder / "test.csv", 40, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    from scratchlm.cli import main

    paths = {"--init": "base", "--data": "train.csv", "--held-out": "test.csv", "--out": "run"}
    flags = [part for flag, name in paths.items() for part in (flag, str(folder / name))]
    main(["finetune", "classify", *flags, "--epochs", "8", *FAST])
    return folder / "run"


def test_it_learns_and_tells_how_well(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads((trained / "result.json").read_text())
    assert result["scores"]["f1"] > 0.95
    assert result["positive"] == "loud"  # the rarer
    assert sum(map(sum, result["scores"]["confusion"])) == result["scores"]["texts"] == 40
    assert 0 < result["step"] <= result["steps"]
    report = (trained / "report.html").read_text(encoding="utf-8")
    for part in ("What is confused", "Precision against recall", "Calibration", "Sure and wrong"):
        assert part in report
    code, out, _ = run(capsys, "classify", trained, "abx!", "abx", "--json")
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["label"] for answer in answers] == ["loud", "calm"]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-9 for answer in answers)
    assert run(capsys, "classify", trained, "abx!")[1].startswith("loud\t")


def test_an_answer_depends_neither_on_padding_nor_on_the_texts_beside_it(trained: Path) -> None:
    classifier = Classifier.load(trained)
    texts = ["a", "abx!", "abcdefgh abcdefgh", "h", "cc ccx"]
    alone = [classifier.classify([text])[0].probabilities for text in texts]
    together = [answer.probabilities for answer in classifier.classify(texts)]
    for one, other in zip(alone, together, strict=True):
        assert all(abs(one[label] - other[label]) < 1e-5 for label in one)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_padding_has_no_part_in_the_logits(pooling: str) -> None:
    model = toy()
    add_classes(model.decoder, ("a", "b", "c"), pooling, seed=0)  # type: ignore[arg-type]
    rows = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    together = class_logits(model.decoder, rows)
    alone = np.concatenate([class_logits(model.decoder, [row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-5


def test_the_loss_is_the_hand_computed_one_with_and_without_weights() -> None:
    model = toy()
    add_classes(model.decoder, ("a", "b"), "last", seed=0)
    rows, labels = [[5, 6, 7], [8, 9]], [0, 1]
    batch, _ = next(LabelledBatches(rows, labels, 2, 0, 0)(None))
    assert batch.target_count == 2
    logits = torch.from_numpy(class_logits(model.decoder, rows))
    each = -logits.log_softmax(-1)[[0, 1], labels]
    assert class_loss()(model.decoder, batch).item() == pytest.approx(each.sum().item(), abs=1e-6)
    weights = torch.tensor([3.0, 0.5])
    expected = 3.0 * each[0] + 0.5 * each[1]
    assert class_loss(weights)(model.decoder, batch).item() == pytest.approx(expected.item(), abs=1e-6)
    assert balanced_weights([0, 0, 0, 1], 2).tolist() == pytest.approx([2 / 3, 2.0])


def test_the_loss_in_parts_of_similar_length_is_the_plain_one_with_its_gradient() -> None:
    model = toy()
    add_classes(model.decoder, ("a", "b"), "mean", seed=0)
    rows = [[3 + (7 * index + at) % 20 for at in range(1 + 5 * index % 17)] for index in range(21)]
    batch, _ = next(LabelledBatches(rows, [index % 2 for index in range(21)], 21, 0, 0)(None))
    parts = batch.parts_by_length()
    assert [len(part.ids) for part in parts] == [8, 8, 5]
    assert sum(part.ids.numel() for part in parts) < 0.8 * batch.ids.numel()
    weights = torch.tensor([3.0, 0.5])
    losses, gradients = [], []
    for loss in (plain_class_loss(weights), class_loss(weights)):
        model.decoder.zero_grad()
        losses.append(loss(model.decoder, batch))
        losses[-1].backward()
        gradients.append([each.grad.clone() for each in model.decoder.parameters() if each.grad is not None])
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    assert gradients[0]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_every_text_is_seen_once_an_epoch_and_batches_go_on_from_their_state() -> None:
    rows = [[index] * (1 + index % 7) for index in range(1, 51)]
    batches = LabelledBatches(rows, [index % 2 for index in range(50)], 5, 3, 0)
    stream = batches(None)
    taken = [next(stream) for _ in range(20)]
    first = [int(row[0]) for batch, _ in taken[:10] for row in batch.ids]
    assert sorted(first) == list(range(1, 51))
    assert first != [int(row[0]) for batch, _ in taken[10:] for row in batch.ids]
    again = next(batches(taken[4][1]))[0]
    assert torch.equal(again.ids, taken[5][0].ids)
    assert torch.equal(again.targets, taken[5][0].targets)


def test_a_run_on_few_texts_records_its_steps_and_split_and_numbers_long_labels(folder: Path, tmp_path: Path) -> None:
    from scratchlm.cli import main

    few, out = table(tmp_path / "few.csv", 80, seed=2), tmp_path / "run"
    few.write_text(few.read_text(encoding="utf-8").replace("calm", "calm and rather quiet"), encoding="utf-8")
    with few.open("a", encoding="utf-8") as file:
        file.write("one of its kind,rare\n")  # the split may not take it
    main(["finetune", "classify", "--init", str(folder / "base"), "--data", str(few), "--out", str(out), *FAST])
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["steps"] == 150
    assert "rare" in result["labels"]
    recipe = (out / "recipe.toml").read_text(encoding="utf-8")
    assert 'split = "hash:0.247"  # rule' in recipe
    assert "explicit" not in recipe
    report = (out / "report.html").read_text(encoding="utf-8")
    assert '<th><abbr title="calm and rather quiet">1</abbr></th>' in report
    assert "<tr><th>1. calm and rather quiet</th>" in report


def test_copies_of_a_text_share_a_side() -> None:
    texts = [Labelled(text, "a") for index in range(300) for text in (f"text {index}", f"TEXT  {index}")]
    train, held_out = two_sides(texts, SplitConfig("hash", 0.2), lambda each: each.text)
    assert 60 < len(held_out) < 180
    assert {each.text.lower().split()[1] for each in train}.isdisjoint(each.text.split()[1] for each in held_out)


def test_adapters_are_a_small_file_on_a_base_that_stays_as_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(folder / "base", base)
    before = (base / "model.safetensors").read_bytes()
    flags = ("--data", folder / "train.csv", "--epochs", "2", "--lora", "--adapter.rank", "2", *FAST)
    assert run(capsys, "finetune", "classify", "--init", base, "--out", tmp_path / "run", *flags)[0] == 0
    assert (base / "model.safetensors").read_bytes() == before
    stored = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(".lora_" in name or name == "classifier.weight" for name in stored)
    answer = Classifier.load(tmp_path / "run").classify(["abx!"])[0]
    whole = load_model(find_model(tmp_path / "run"))
    whole.base = None  # written whole, it stands alone
    save_model(tmp_path / "whole", whole)
    assert Classifier.load(tmp_path / "whole").classify(["abx!"])[0] == answer
    other = toy()
    with torch.no_grad():
        other.decoder.embedding.weight += 1
    save_model(base, other)
    network = ("classify", tmp_path / "run", "abx!", "--use", "network")
    assert "was trained on other weights" in fails(capsys, *network)
    shutil.rmtree(base)
    assert "is missing; restore it" in fails(capsys, *network)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(out: Path) -> None:
        flags = ("--data", folder / "train.csv", "--epochs", "1", "--lora", *FAST, "--training.evaluate-every", "3")
        run(capsys, "finetune", "classify", "--init", folder / "base", "--out", out, *flags)

    begin(tmp_path / "whole")
    from scratchlm.finetuning import classify

    real, calls = classify.text_logits, []

    def failing(*arguments: object, **named: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(classify, "text_logits", failing)
    with pytest.raises(RuntimeError):
        begin(tmp_path / "stopped")
    monkeypatch.undo()
    code, _, err = run(capsys, "finetune", "classify", "--resume", tmp_path / "stopped")
    assert code == 0, err
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "stopped" / "model" / name).read_bytes() == (
            tmp_path / "whole" / "model" / name
        ).read_bytes()
    results = [json.loads((tmp_path / run_ / "result.json").read_text()) for run_ in ("whole", "stopped")]
    assert results[0]["scores"] == results[1]["scores"]


def test_a_label_may_be_called_none(tmp_path: Path) -> None:
    model = toy()
    add_classes(model.decoder, ("none", "toxic"), "last", seed=0)
    model.classes = Classes(("none", "toxic"), positive="none", threshold=0.9)
    save_model(tmp_path / "model", model)
    assert load_model(tmp_path / "model").classes == model.classes


BAD = {
    "no such column": ("a,b\n1,2\n", ("--text-column", "text", "--label-column", "b"), "no column 'text'"),
    "columns unclear": ("a,b,c\nx,y,z\n", (), "which column is which?"),
    "one class": ("text,label\na,x\nb,x\n", (), "a classifier needs at least two classes"),
    "empty text": ("text,label\n,x\nb,y\n", (), "line 2: the text is empty"),
    "empty label": ("text,label\na,\nb,y\n", (), "line 2: the label is empty"),
    "torn row": ("text,label\na\nb,y\n", (), "line 2: 1 columns where the first row has 2"),
    "no row": ("text,label\n", (), "holds no row"),
    "a wish for no label": ("text,label\na,x\nb,y\n", ("--positive", "z", "--split", "tail:0.5"), "label"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_answered_in_one_line(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, flags, expected = BAD[name]
    (tmp_path / "bad.csv").write_text(content)
    line = fails(
        *(capsys, "finetune", "classify", "--init", folder / "base", "--data", tmp_path / "bad.csv"),
        *("--out", tmp_path / "out", *flags),
    )
    assert expected in line
    assert not (tmp_path / "out").exists()


def test_labels_that_training_never_sees_are_named(folder: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "test.csv").write_text("text,label\na,odd\nb,calm\n")
    line = fails(
        *(capsys, "finetune", "classify", "--init", folder / "base", "--data", folder / "train.csv"),
        *("--held-out", tmp_path / "test.csv", "--out", tmp_path / "out"),
    )
    assert "'odd' of the held-out texts never occur in training" in line


def test_what_is_missing_or_out_of_range_is_told_at_once(folder: Path, tmp_path: Path, capsys) -> None:
    line = fails(capsys, "finetune", "classify", "--epochs", "0", "--patience", "-1", code=2)
    assert "--epochs 0: must be over 0; --patience -1: must not be negative" in line
    assert "--init: is missing" in fails(capsys, "finetune", "classify", "--out", tmp_path / "out", code=2)


def test_texts_and_models_that_cannot_be_classified_are_named(trained: Path, folder: Path, capsys) -> None:
    code, out, err = run(capsys, "classify", trained, "abc", " ", "abx!")
    assert (code, [line.split("\t")[-1] for line in out.splitlines()]) == (1, ["abc", "abx!"])
    assert "text 2: is empty; give some text\n" in err
    assert "1 of 3 texts have no answer (text 2)" in err
    assert "has learned no classes" in fails(capsys, "classify", folder / "base", "abc")


def test_a_text_longer_than_the_context_keeps_its_beginning() -> None:
    tokenizer = byte_tokenizer()
    end = tokenizer.end_of_text
    assert encode_texts(tokenizer, ["abcdefgh"], 5) == [[*tokenizer.encode("abcd"), end]]


def test_adapters_beside_four_bits_learn_and_come_back_as_they_were(tmp_path: Path, capsys) -> None:
    data = table(tmp_path / "t.csv", 60)
    save_model(tmp_path / "base", toy())
    flags = ("--data", data, "--epochs", "8", "--lora", "--nf4", *FAST)
    code, out, err = run(capsys, "finetune", "classify", "--init", tmp_path / "base", "--out", tmp_path / "r", *flags)
    assert code == 0, err
    f1 = json.loads((tmp_path / "r" / "result.json").read_text())["scores"]["f1"]
    stored = json.loads((tmp_path / "r" / "model" / "config.json").read_text())
    assert stored["nf4"] is True
    kept = load_model(find_model(tmp_path / "r"))
    assert all(layer.packed is not None for layer in adapted(kept.decoder).values())
    code, out, _ = run(capsys, "evaluate", tmp_path / "r", "--task", f"classes={data}", "--threads", "1", "--json")
    assert json.loads(out)["tasks"][0]["scores"]["F1"]["value"] >= f1 - 0.2
    assert run(capsys, "export", tmp_path / "r", "--to", "hf", "--out", tmp_path / "hf")[0] == 0  # merged
    line = fails(capsys, "finetune", "classify", "--nf4", code=2)
    assert "give --lora too" in line


def test_a_prompt_stands_around_each_text_and_is_never_cut(tmp_path: Path, capsys) -> None:
    tokenizer = byte_tokenizer()
    end = tokenizer.end_of_text
    assert encode_texts(tokenizer, ["ab"], 24, "<{text}>") == [[*tokenizer.encode("<ab>"), end]]
    assert encode_texts(tokenizer, ["abcdefgh"], 7, "<{text}>") == [[*tokenizer.encode("<abcd>"), end]]
    with pytest.raises(UserError, match="--prompt: has 8 tokens; the model sees 8"):
        encode_texts(tokenizer, ["abcdefgh"], 8, "1234{text}5678")
    line = fails(capsys, "finetune", "classify", "--prompt", "{txt}", code=2)
    assert "must hold {text} once" in line
    data = table(tmp_path / "t.csv", 40)
    save_model(tmp_path / "base", toy())
    ask = ("--prompt", "<{text}>", "--epochs", "1", "--keep", "last", *FAST)
    flags = ("--init", tmp_path / "base", "--data", data, "--out", tmp_path / "r", *ask)
    code, out, err = run(capsys, "finetune", "classify", *flags)
    assert code == 0, err
    assert "the last" in out
    classifier = Classifier.load(tmp_path / "r")
    assert classifier.classes.prompt == "<{text}>"
    logits = class_logits(classifier.model.decoder, encode_texts(tokenizer, ["ab"], 24, "<{text}>"))
    chances = torch.tensor(logits / classifier.classes.temperature).double().softmax(-1)[0].tolist()
    assert list(classifier.classify(["ab"])[0].probabilities.values()) == pytest.approx(chances, abs=1e-5)


@pytest.mark.parametrize("more", [(), ("--frozen-layers", "1")])
def test_a_run_beside_four_bits_can_be_taught_further_as_a_whole(more: tuple[str, ...], tmp_path: Path, capsys) -> None:
    data = table(tmp_path / "t.csv", 40)
    save_model(tmp_path / "base", toy())
    flags = ("--data", data, "--epochs", "1", *FAST)
    first = ("--init", tmp_path / "base", "--out", tmp_path / "r", "--lora", "--nf4")
    assert run(capsys, "finetune", "classify", *first, *flags)[0] == 0
    code, _, err = run(capsys, "finetune", "classify", "--init", tmp_path / "r", "--out", tmp_path / "s", *flags, *more)
    assert code == 0, err
    assert load_model(find_model(tmp_path / "s")).nf4 is False
