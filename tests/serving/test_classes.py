"""`/v1/classify`: a served classifier gives the labels that the command gives, by its network or its linear model."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchlm.classic.linear import LinearTexts
from scratchlm.finetuning.head import add_classes
from scratchlm.generation.classifier import Classifier, LinearClassifier
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model
from scratchlm.weights.linear import HeldOutF1, LinearSettings
from served import serving
from toys import random_decoder, toy_config

TEXTS = ["pay the bill", "send the parcel"] * 9


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tokenizer: FastBPE) -> Path:
    labels = ("money", "post")
    model = SavedModel(random_decoder(toy_config("default", vocabulary_size=tokenizer.vocabulary_size)), tokenizer)
    add_classes(model.decoder, labels, "last", seed=0)
    model.classes = Classes(labels, positive="post")
    fitted = LinearTexts().fit(TEXTS, [0, 1] * 9)
    model.linear = fitted.kept(LinearSettings(labels, HeldOutF1(9, 0.9, 0.5), {}, "post"))
    folder = tmp_path_factory.mktemp("served") / "tickets"
    save_model(folder, model)
    return folder


@pytest.mark.parametrize("use", ["best", "network"])
def test_a_served_classifier_answers_as_the_command_does(use: str, classifier: Path, models: Path) -> None:
    with serving(classifier, models / "plain", "--use", use) as server:
        answer = server.post("/v1/classify", {"model": "tickets", "input": TEXTS}).json()
        expected = (Classifier if use == "network" else LinearClassifier).load(classifier).classify(TEXTS)
        assert [each["label"] for each in answer["data"]] == [each.label for each in expected]
        assert [each["index"] for each in answer["data"]] == list(range(len(TEXTS)))
        for one, other in zip(answer["data"], expected, strict=True):
            assert one["probabilities"] == pytest.approx(other.probabilities, abs=1e-5)
        assert answer["used"] == ("network" if use == "network" else "linear")
        alone = server.post("/v1/classify", {"model": "tickets", "input": TEXTS[0]}).json()
        assert len(alone["data"]) == 1
        for body, status, message in [
            ({"model": "plain", "input": "a"}, 400, "has learned no classes"),
            ({"model": "tickets", "input": ["a", " "]}, 400, "text 2: is empty"),
            ({"model": "tickets", "input": []}, 400, "input"),
            ({"model": "none", "input": "a"}, 404, "is not served"),
        ]:
            refused = server.post("/v1/classify", body)
            assert (refused.status_code, message in refused.text) == (status, True)
