"""Exported classifiers: a pipeline of transformers predicts the same labels and probabilities."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.finetuning.head import add_classes
from scratchlm.generation.classifier import Classifier
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model
from toys import random_decoder
from weights.families import FAMILIES

TEXTS = ["a cat", "the longest of all these texts by far", "no"]


@pytest.mark.parametrize("name", ["gpt2", "llama tied", "qwen2", "qwen3", "gemma3", "olmo2", "phi3", "mistral"])
def test_a_pipeline_of_transformers_gives_the_same_probabilities(name: str, tmp_path: Path, capsys) -> None:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    tokenizer = FastBPE.train([], 256)
    shape = dataclasses.replace(FAMILIES[name][1], vocabulary_size=tokenizer.vocabulary_size)
    model = SavedModel(random_decoder(shape), tokenizer)
    add_classes(model.decoder, ("ham", "spam", "none"), "last", seed=0)
    assert model.decoder.classifier is not None
    model.decoder.classifier.weight.data *= 20  # so that probabilities differ
    model.classes = Classes(("ham", "spam", "none"), temperature=2.0)
    save_model(tmp_path / "model", model)
    assert run(capsys, "export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf")[0] == 0
    kind = json.loads((tmp_path / "hf" / "config.json").read_text())["model_type"]
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        pytest.skip(f"transformers {transformers.__version__} has no classifier of {kind}")
    pipe = transformers.pipeline("text-classification", model=str(tmp_path / "hf"), device="cpu")
    found = pipe(TEXTS, batch_size=3, top_k=None)
    expected = Classifier.load(tmp_path / "model").classify(TEXTS)
    for theirs, ours in zip(found, expected, strict=True):
        given = {each["label"]: each["score"] for each in theirs}
        assert given == pytest.approx(ours.probabilities, abs=1e-5)
    assert "text-classification" in (tmp_path / "hf" / "README.md").read_text()


def test_mean_pooling_cannot_be_exported(tmp_path: Path, capsys) -> None:
    tokenizer = FastBPE.train([], 256)
    shape = dataclasses.replace(FAMILIES["llama tied"][1], vocabulary_size=tokenizer.vocabulary_size)
    model = SavedModel(random_decoder(shape), tokenizer)
    add_classes(model.decoder, ("a", "b"), "mean", seed=0)
    model.classes = Classes(("a", "b"))
    save_model(tmp_path / "model", model)
    line = fails(capsys, "export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf")
    assert "train with last" in line
    assert not (tmp_path / "hf").exists()


def test_rewards_and_prompts_cannot_be_exported_and_the_threshold_is_in_the_card(tmp_path: Path, capsys) -> None:
    tokenizer = FastBPE.train([], 256)
    shape = dataclasses.replace(FAMILIES["llama tied"][1], vocabulary_size=tokenizer.vocabulary_size)
    for labels, prompt, expected in (
        (("reward",), "{text}", "a reward model"),
        (("a", "b"), "{text}?", "transformers reads plain texts"),
        (("a", "b"), "{text}", None),
    ):
        model = SavedModel(random_decoder(shape), tokenizer)
        add_classes(model.decoder, labels, "last", seed=0)
        model.classes = Classes(labels, prompt=prompt, positive="b" if len(labels) > 1 else None, threshold=0.375)
        save_model(tmp_path / "model", model)
        export = ("export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf")
        if expected is not None:
            assert expected in fails(capsys, *export)
        else:
            assert run(capsys, *export)[0] == 0
    assert "Say 'b' from a probability of 0.375 on." in (tmp_path / "hf" / "README.md").read_text()
