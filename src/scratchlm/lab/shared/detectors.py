"""Methods that classify messages, from rules to networks, the settings tried for each, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.base.device import faster_dtype
from scratchlm.classic.bayes import NaiveBayes
from scratchlm.classic.designed import DesignedTexts
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.protocol import TextClassifier
from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.rules import Majority, SpamRules
from scratchlm.lab.harness.findings import Findings, Row
from scratchlm.lab.harness.methods import Method
from scratchlm.lab.shared.binary_scores import Ranking, f1_score
from scratchlm.lab.shared.folds import Folded
from scratchlm.lab.shared.grids import at_edge
from scratchlm.lab.shared.networks import NetworkTexts, Reader
from scratchlm.lab.shared.prompted import choice_scores
from scratchlm.lab.shared.small_model import SmallModel
from scratchlm.model.config import DecoderConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

Setting = Mapping[str, float]
"""What is tuned: arguments of a method's `make`, by name."""
Make = Callable[..., TextClassifier]
QUESTION = "Is this text message spam? Answer yes or no.\n\nMessage: {text}"
adam = partial(AdamWConfig, weight_decay=0.01)


def grid(**values: Sequence[float]) -> tuple[Setting, ...]:
    """Return every combination of the values of each argument."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


PENALTIES = grid(C=(0.1, 0.5, 2.0, 10.0, 50.0, 250.0))
"""Settings that each linear classifier tries: inverse regularisation strengths."""
LEAST = 1e-4
"""Smallest probability of the true class that counts in full when settings are compared."""
COUNTING = grid(longest=(1, 2), alpha=(0.03, 0.1, 0.3))
"""Settings that naive Bayes tries: words alone or word pairs too, and what is added to each count."""


VALIDATED, FITTED = 1, (2, 3)
"""The fold on which settings are compared, and the folds that the trials learn from."""


@dataclass(frozen=True)
class Detector(Method[Make]):
    """A method with the settings that are tried; one without any is not tuned."""

    grid: Sequence[Setting] = field(default=({},))


def muon(learning_rate: float) -> MuonConfig:
    """Return Muon with a peak learning rate; that of AdamW, for what is no matrix of a block, is a third of it."""
    return MuonConfig(learning_rate=learning_rate, adam=AdamWConfig(learning_rate=learning_rate / 3, weight_decay=0.0))


def detectors(
    small: SmallModel, tried: Sequence[Setting], tried_recurrent: Sequence[Setting], seed: int, by_length: bool = False
) -> list[Detector]:
    """Return the methods, the oldest first.

    A setting of a network has a learning rate, epochs, and perhaps the fewest steps; `by_length` is that of
    `NetworkTexts`. The small model is trained in the dtype that is faster on this CPU.
    """

    def recurrent() -> Reader:
        shape = DecoderConfig(small.tokenizer.vocabulary_size, width=96, layers=1, dropout=0.2, init_std=0.1)
        return Reader(build_recurrent(shape, "lstm", seed), small.tokenizer)

    def network(
        make: Callable[[], SavedModel | Reader], optimizer: Callable[[float], OptimizerConfig], dtype: torch.dtype
    ) -> Make:
        trained = partial(NetworkTexts, make, by_length=by_length, dtype=dtype, seed=seed)
        return lambda learning_rate, epochs, fewest_steps=1: trained(
            epochs=epochs, optimizer=optimizer(learning_rate), least_steps=fewest_steps
        )

    faster = faster_dtype()
    names = ("lstm", "recurrent network (LSTM)"), ("random", "small model, from random weights")
    return [
        Detector("majority", "majority baseline", Majority),
        Detector("rules", "hand-written rules", SpamRules),
        Detector("designed", "designed features, logistic regression", DesignedTexts, grid=PENALTIES),
        Detector("bayes", "counted words, naive Bayes", NaiveBayes, grid=COUNTING),
        Detector("logistic", "counted words and pairs, logistic regression",
                 partial(LinearTexts, "words", "logistic"), grid=PENALTIES),
        Detector("both", "designed features and counted words, logistic regression",
                 partial(DesignedTexts, words=True), grid=PENALTIES),
        Detector("svm", "counted words and characters, linear SVM",
                 partial(LinearTexts, "words + characters", "svm"), grid=PENALTIES),
        Detector(*names[0], network(recurrent, adam, torch.float32), seeded=True, grid=tried_recurrent),
        Detector(*names[1], network(small.random, muon, faster), seeded=True, grid=tried),
        Detector("pretrained", "small model, pretrained on books", network(small.pretrained, muon, faster), seeded=True,
                 grid=tried),
    ]  # fmt: skip


def published(init: Path, hash_prefix: str, seed: int) -> list[Detector]:
    """Return the methods that use a published model; their settings are fixed."""
    load = partial(load_model, find_model(init))
    adapter, optimizer = LoRAConfig(rank=16, alpha=32.0), adam(5e-4)
    fine_tuned = partial(
        NetworkTexts, load, adapter=adapter, epochs=3, optimizer=optimizer, batch_size=16, dtype=faster_dtype(),
        seed=seed,
    )  # fmt: skip

    def zero_shot() -> TextClassifier:
        return ZeroShotClassifier(load(), QUESTION, ("no", "yes"))

    return [
        Detector("asked", "published model, zero-shot", zero_shot, hash_prefix),
        Detector("lora", "published model, fine-tuned with LoRA", fine_tuned, hash_prefix, seeded=True),
    ]


@dataclass
class ZeroShotClassifier:
    """A zero-shot classifier: it puts each text into a question and compares the likelihoods of one answer per class.

    A model with a chat template is asked in a conversation, any other in plain text.
    """

    model: SavedModel
    question: str
    """Question with `{text}` in it."""
    answers: Sequence[str]
    longest: int = 600
    """Characters that texts are cut to."""

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> ZeroShotClassifier:
        """Return the model unchanged."""
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each answer per token, normalised over the answers."""
        questions = [self.question.format(text=text[: self.longest]) for text in texts]
        scores = choice_scores(self.model, questions, [], self.answers, 0)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def size(self) -> int:
        """Return the bytes of the weights, in fp32."""
        return 4 * self.model.decoder.parameter_count()


Texts = tuple[list[str], list[int]]
"""Texts with their classes, 1 for the positive one."""


def texts_of(data: Folded, places: np.ndarray) -> Texts:
    """Return the texts at some indices, with their classes."""
    return [data.texts[place] for place in places], data.truth[places].tolist()


def tune(detector: Detector, learned: Texts, validated: Texts) -> dict[str, Any]:
    """Try each setting: learn from some texts, score on others; return the trials and the best setting.

    The best has the lowest cross-entropy, which depends on no threshold and on calibration too.
    """
    tried: list[dict[str, Any]] = []
    for setting in detector.grid:
        predicted = detector.make(**setting).fit(*learned).predict_proba(validated[0])[:, 1]
        tried.append({"setting": dict(setting), **validation_scores(predicted, np.array(validated[1]))})
    best = min(tried, key=lambda trial: trial["cross_entropy"])
    return {"setting": best["setting"], "tried": tried}


def validation_scores(probabilities: Float[np.ndarray, " N"], truth: np.ndarray) -> dict[str, float]:
    """Return the mean cross-entropy in nats, average precision, and F1 at a threshold of 0.5.

    Probabilities are kept `LEAST` from 0 and 1, so that one sure mistake does not decide.
    """
    predicted = (probabilities >= 0.5).astype(np.int64)
    right = np.clip(np.where(truth == 1, probabilities, 1 - probabilities), LEAST, 1)
    return {
        "cross_entropy": float(-np.log(right).mean()),
        "average_precision": Ranking(truth, probabilities).average_precision(),
        "f1": f1_score(truth, predicted).value,
    }


def described(setting: Setting) -> str:
    """Return a setting as a reader sees it: `C 10`, `learning rate 0.012, epochs 2`."""
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in setting.items())


def report_tuning(out: Findings, methods: Sequence[Detector], tunings: Mapping[str, Any], learned: str) -> None:
    """Report the settings that each method tried, which was best, and on what; nothing if none tried any."""
    rows: list[Row] = []
    edge: list[str] = []
    for method in methods:
        if not (tried := tunings[method.key]["tried"]):
            continue
        values = {name: dict.fromkeys(trial["setting"][name] for trial in tried) for name in tried[0]["setting"]}
        ranges = [f"{name.replace('_', ' ')} {', '.join(f'{value:g}' for value in of)}" for name, of in values.items()]
        losses = [trial["cross_entropy"] for trial in tried]
        setting = tunings[method.key]["setting"]
        cells = [str(len(tried)), "; ".join(ranges), described(setting), f"{min(losses):.3f}", f"{max(losses):.3f}"]
        rows.append([method.name, *cells])
        at_edges = [name for name, of in values.items() if at_edge(setting[name], of)]
        edge += [f"{name.replace('_', ' ')} of {method.name}" for name in at_edges]
    if edge:
        out.notes.append(f"best at the edge of what was tried, so a better value may lie beyond: {'; '.join(edge)}")
    if rows:
        header = ["", "trials", "settings", "chosen", "lowest cross-entropy, nats", "highest"]
        out.table("Settings that were tried, once for all seeds", header, rows)
        out.notes.append(
            f"settings: each method trained on {learned} and took the setting with the lowest cross-entropy on fold "
            f"{VALIDATED}"
        )
