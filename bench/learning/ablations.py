"""Short trainings for grammar that differ in one setting, and forms of scoring: what might raise the two-hour score.

Six layers of 192, 2.9 million tokens of the sentences of `grammar.py`; the mean accuracy on 25 sets of BLiMP, the first
300 pairs of each. The sets are those that settings may be tuned on. Finished runs are kept in a folder.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.learning.grammar import RECIPE, WINDOWS, chosen_on, prepared
from bench.learning.spelling import Spelling
from bench.store import DATA

from scratchlm.base.config import from_dict
from scratchlm.base.device import faster_dtype
from scratchlm.base.files import read_json, write_json
from scratchlm.data.batches import Batch, State, Tokens
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.evaluation.interpolation import count_ngrams
from scratchlm.evaluation.likelihood import LikelihoodRequest, encode_requests
from scratchlm.evaluation.pairs import ROWS, read_pairs
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import BatchSource, Loop, RuntimeConfig
from scratchlm.training.stages import training_batches

DEPTH, STEPS, PAIRS, SEED = 6, 700, 300, 0
ORDER = 5
"""Of the n-grams that scores are interpolated with."""
CHANGES: dict[str, dict[str, Any]] = {
    "as the two-hour run": {},
    "half the batch, twice the steps": {"batch_size": 16, "steps": 1400},
    "masked rows, 1 of 8": {"masked_fraction": 0.125},
    "sentences do not see each other": {},
}
"""Changes of the training."""
SWINGING = ("only_npi_licensor_present", "left_branch_island_echo_question", "sentential_negation_npi_scope")
"""Sets whose two sentences begin with different words, which swing by tens of points."""
Scores = list[np.ndarray]
"""Of each sentence, the natural log of the probability of each token."""


@dataclass(frozen=True)
class Isolated:
    """Batches in which the sentences of a row do not see each other, and each begins at the first position.

    So are the sentences of a pair scored.
    """

    source: BatchSource
    begin: int
    """Id of the token that begins a sentence."""

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield the batches of the source, each row's sentences numbered."""
        for batch, following in self.source(state):
            yield replace(batch, documents=(batch.ids == self.begin).long().cumsum(1)), following


def measure(folder: Path) -> dict[str, Any]:
    """Train all, or those that are missing in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spelling, found = prepared(folder), {}
    settings = {"depth": DEPTH, "steps": STEPS, "pairs": PAIRS, "seed": SEED, "order": ORDER, **WINDOWS}
    for name, changes in CHANGES.items():
        kept = folder / f"ablation, {name}.json"
        if not kept.exists() or read_json(kept)["settings"] != settings:
            trained = _trained(folder, spelling, changes, isolated="do not see" in name)
            write_json(kept, {"settings": settings, **trained})
        found[name] = read_json(kept)
        print(name, {key: value for key, value in found[name].items() if key != "sets"}, flush=True)
    return {"task": f"BLiMP after {STEPS} steps of {WINDOWS}, percent", "seed": SEED, "runs": found}


def _trained(folder: Path, spelling: Spelling, changes: dict[str, Any], isolated: bool) -> dict[str, Any]:
    tokenizer, train, held_out = open_data(folder / "data" / "all")
    recipe = load_recipe(RECIPE, DEPTH)
    quiet = {"evaluate_every": 0, "sample_every": 0, "checkpoint_every": 0}
    training = from_dict(TrainingConfig, {**WINDOWS, "steps": STEPS, **quiet, **changes}, "training", recipe.training)
    decoder = build_decoder(dataclasses.replace(recipe.model, vocabulary_size=tokenizer.vocabulary_size), SEED)
    batches = training_batches(train, training, SEED)
    if isolated:
        assert tokenizer.end_of_text is not None
        batches = Isolated(batches, tokenizer.end_of_text)
    started = time.perf_counter()
    fit(Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=faster_dtype(), seed=SEED)))
    seconds = time.perf_counter() - started
    score = held_out_loss(decoder, tokenizer, held_out, length=training.sequence_length, dtype=faster_dtype())
    sets = forms_of_scoring(decoder, tokenizer, train, spelling)
    return {
        "changes": changes,
        "bits_per_byte": score.bits_per_byte,
        "seconds": seconds,
        **{form: _means(each) for form, each in sets.items()},
        "sets": sets,
    }


def _means(sets: Mapping[str, float]) -> dict[str, float]:
    steady = [value for name, value in sets.items() if name not in SWINGING]
    return {"blimp": 100 * statistics.mean(sets.values()), "without three": 100 * statistics.mean(steady)}


def forms_of_scoring(
    decoder: Decoder, tokenizer: Tokenizer, train: Tokens, spelling: Spelling
) -> dict[str, dict[str, float]]:
    """Return the accuracy of each set by the likelihood of the whole sentence, and by two changes of it.

    Half the log-probability of its tokens by their frequency alone, taken off, is a middle between the likelihood and
    the SLOR of Pauls and Klein 2012, "Large-scale syntactic language modeling with treelets", without its division by
    the length.
    """
    files = {file.stem: file for file in (DATA / "evaluate" / "blimp").glob("*.jsonl")}
    names, texts = [], []
    for name in chosen_on(list(files)):
        pairs = list(read_pairs(files[name]))[:PAIRS]
        names += [name] * len(pairs)
        texts += [("", spelling(text)) for pair in pairs for text in (pair.good, pair.bad)]
    requests = encode_requests(tokenizer, texts)
    network = token_scores(decoder, requests)
    ngrams = count_ngrams(train, tokenizer, ORDER)
    counted = [ngrams.token_log_probabilities(_ids(request))[1:] for request in requests]
    often = np.bincount(train.read(0, len(train)).astype(np.int64), minlength=tokenizer.vocabulary_size) + 1.0
    alone = np.log(often / often.sum())
    by_form = {
        "likelihood": network,
        "n-grams alone": counted,
        "0.1 of n-grams": [
            np.logaddexp(np.log(0.9) + a, np.log(0.1) + b) for a, b in zip(network, counted, strict=True)
        ],
        "less half of frequency": [
            each - 0.5 * alone[_ids(request)[1:]] for each, request in zip(network, requests, strict=True)
        ],
    }
    return {form: _accuracies(names, scores) for form, scores in by_form.items()}


def _accuracies(names: list[str], scores: Scores) -> dict[str, float]:
    sums = np.array([each.sum() for each in scores]).reshape(-1, 2)
    right = np.where(sums[:, 0] == sums[:, 1], 0.5, sums[:, 0] > sums[:, 1])
    return {name: float(right[np.array(names) == name].mean()) for name in dict.fromkeys(names)}


def _ids(request: LikelihoodRequest) -> np.ndarray:
    return np.array(request.context + request.continuation)


@torch.no_grad()
def token_scores(decoder: Decoder, requests: list[LikelihoodRequest]) -> Scores:
    """Return the log-probability of each token after the first of each request."""
    decoder.eval()
    rows = [torch.from_numpy(_ids(request)) for request in requests]
    found: dict[int, np.ndarray] = {}
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for at in range(0, len(order), ROWS):
        some = order[at : at + ROWS]
        ids = torch.nn.utils.rnn.pad_sequence([rows[index] for index in some], batch_first=True)
        scores = decoder(ids)[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        found.update({index: row[: len(rows[index]) - 1].numpy() for index, row in zip(some, scores, strict=True)})
    return [found[index] for index in range(len(rows))]
