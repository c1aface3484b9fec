"""Every experiment once with --small on real data: it ends, and its numbers are within ranges.

The ranges are wide: a tiny model is trained for a minute. The notes use runs without --small.
"""

from __future__ import annotations

import html
import os
from pathlib import Path

import pytest

from commands import run
from lab.outcomes import of_today
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.lab.harness.outcome import read_outcome
from scratchlm.lab.prose import read_results
from scratchlm.lab.quiz.guesses import questions_of

DATA = os.environ.get("SCRATCHLM_DATA")
NEEDS_NONE = ("limits", "ladder-respond", "patching")
"""Experiments on the built-in stories."""
NOTES = Path(__file__).parents[2] / "notes" / "results"
LONG = ("tasks", "label-efficiency", "ladder-spam", "ladder-lm", "compare-reading", "context", "patching")
"""Those that are not replayed here, since each takes minutes."""
pytestmark = [pytest.mark.slow, pytest.mark.long]

RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "ladder-spam": {
        "majority.f1": (0, 0),
        "rules.f1": (0.8, 0.93),
        "bayes.f1": (0.88, 0.98),
        "svm.f1": (0.92, 0.99),
        "svm.average_precision": (0.96, 1),
        "pretrained.average_precision": (0.3, 1),
    },
    "ladder-lm": {
        "unigram.bits_per_byte": (2.4, 3.2),
        "katz.bits_per_byte": (2.0, 3.0),
        "kneser.bits_per_byte": (1.9, 2.8),
        "transformer.bits_per_byte": (1.9, 3.2),
        "lstm.bits_per_byte": (1.9, 3.4),
        "kneser.blimp": (0.4, 0.75),
        "kneser.order": (2, 6),
    },
    "ladder-translate": {
        "copy.chrf": (5, 20),
        "rules.chrf": (22, 45),
        "ibm1.chrf": (15, 50),
        "phrases.chrf": (15, 55),
        "memory.bleu": (0, 15),
    },
    "label-efficiency": {"rules.f1.8": (0.8, 0.93), "bayes.f1.8": (0, 0.9)},
    "objective": {
        "before": (8, 8.7),
        "after": (4, 8),
        "bytes.bits_per_byte": (2, 5),
        "words.spelling": (2, 6),
        "words.unknown_share": (0.1, 0.4),
    },
    "ablations": {
        "noise.0.0": (4, 8.4),
        "parameters": (1e5, 1e7),
        "free.nothing": (6.2, 6.3),
        "free.feed-forward-small-embedding": (6, 6.25),
    },
    "scaling": {
        "bits.32.8000": (2.8, 4.2),
        "larger.measured": (2.2, 3.2),
        "kaplan.predicted": (2.0, 3.5),
        "hoffmann.predicted": (2.0, 3.5),
    },
    "features": {
        "function.control-unseen": (0.35, 0.65),
        "control-unseen.mean": (0.45, 0.55),
        "capital.learned": (0.5, 1),
        "function.layer0": (0.7, 1),
        "quotation.handmade": (0.7, 1),
        "her.handmade": (0.6, 1),
        "quotation.untrained": (0.35, 0.7),
        "object.handmade": (0.9, 1),
        "woman.handmade": (0.75, 1),
    },
    "compare-reading": {"first.f1": (0.03, 0.2), "overlap.f1": (0.05, 0.3), "tfidf.f1": (0.06, 0.32)},
    "tasks": {
        "answer.narrow": (0.2, 1),
        "spam.narrow": (0.8, 1),
        "past.narrow": (0.3, 0.9),
        "translate.narrow": (0.1, 0.4),
    },
    "crossover": {"spam.earlier": (0.4, 1), "rewrite.earlier": (0.5, 1), "grammar.earlier": (0.3, 0.8)},
    "limits": {"held_out.read": (0.05, 0.6), "untold.right": (0, 0.4)},
    "ladder-respond": {"eliza.right": (0, 0.15), "retrieval.fluent": (0.7, 1), "ngram.right": (0, 0.4)},
    "context": {
        "loss.1": (4, 8.5),
        "loss.256": (4, 8.5),
        "order.bag": (5, 8.5),
        "copy.many.first": (4, 4.8),
        "copy.books.first": (7, 12),
    },
    "induction": {"twice.untrained": (0, 0.1), "twice.first": (4, 9), "plain.score": (0, 0.3)},
    "vocabulary": {"bpe-256.bits_per_byte": (3, 5), "bpe-1024.bits_per_byte": (2, 4), "unigram.bytes_a_token": (2, 3)},
    "twins": {"whole.loss": (3, 6.3), "residual.loss": (3, 6.5), "feed-forward.weights": (1e5, 4e5)},
    "attention-kinds": {"multi-head.loss": (3, 6.3), "delta.loss": (3, 6.3), "delta.bytes.4096": (30464, 30464)},
    "patching": {"right": (0.04, 1), "stream.name.0.other": (0.6, 1), "stream.before.0.other": (0, 0.2)},
}
HOLD = {
    "ladder-spam": {"rules-beat-majority", "svm-is-cheaper"},
    "ladder-lm": {"context-helps"},
    "ladder-translate": {"rules-beat-copying"},
    "ablations": {"parts-sum", "gradient-foretells", "much-noise-destroys"},
    "scaling": {"parameters-help", "laws-beat-baselines"},
    "compare-reading": {"half-stay-unanswered"},
    "objective": {"begins-by-guessing", "sub-words-win"},
    "context": {"attention-carries-context"},
    "vocabulary": {"more-than-bytes"},
    "twins": {"residuals-help"},
    "attention-kinds": {"sizes-are-alike", "memory-need-not-grow"},
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_numbers_are_within_ranges(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if DATA is None and name not in NEEDS_NONE:
        pytest.skip("SCRATCHLM_DATA does not name the folder of real texts")
    code, _, err = run(capsys, "experiment", name, "--small", "--out", tmp_path / "run")
    assert code == 0, err
    outcome = read_outcome(tmp_path / "run" / "result.json")
    found = {key: outcome.values[key].value for key in RANGES[name]}
    assert {
        key: value for key, value in found.items() if not RANGES[name][key][0] <= value <= RANGES[name][key][1]
    } == {}
    assert {key for key in HOLD.get(name, set()) if not outcome.claims[key].holds} == set()
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    page = html.unescape(page.replace("<code>", "`").replace("</code>", "`"))
    told = [claim.says for claim in outcome.claims.values()] + [table.title for table in outcome.tables]
    assert [text for text in told + outcome.notes[:1] if text not in page] == []
    assert {question.key for question in questions_of(name)} <= set(outcome.values)
    assert [key for key, claim in outcome.claims.items() if not claim.control] == []
    results = read_results(NOTES)
    stored = results.get(name)
    if stored is not None and of_today(stored):
        other: set[str] = set()
        if name == "crossover":  # about a published model, which the small form lacks
            endings = ("-published", "-prompted", "-examples", "-tuning", "beats-general")
            other = {key for key in stored.claims if key.endswith(endings)}
        assert set(stored.claims) - other == set(outcome.claims)
    if name in LONG:
        return
    result = tmp_path / "run" / "result.json"
    code, out, err = run(capsys, "experiment", name, "--replay", result, "--out", tmp_path / "again")
    assert (code, "are reproduced on an equal machine" in " ".join(out.split())) == (0, True), err
