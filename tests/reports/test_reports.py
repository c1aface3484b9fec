"""Reports open offline, keep every number, and show hostile text as text, whatever template it stands in."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace as Plain
from typing import Any

import numpy as np
import pytest

from scratchlm.base import runfolder
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Rollback, Rollout, RunLog, Timing, Train
from scratchlm.base.statistics import Interval
from scratchlm.evaluation.bits import HeldOutLoss
from scratchlm.evaluation.classes import score
from scratchlm.finetuning.classify import SQUARE, class_charts
from scratchlm.lab.harness.outcome import Claim, Curves, Dot, Dots, Outcome, Table, TextSample, Value
from scratchlm.lab.run import write_report as write_experiment
from scratchlm.pretraining.skipped import BadDocument, SkippedStep
from scratchlm.pretraining.sweep.run import Ended, SweepResult, write_sweep_report
from scratchlm.reports import page
from scratchlm.reports.changes import BeforeAndAfter, first_changed, judge_answers, judge_classes, judge_score
from scratchlm.reports.chart import apart, chart, shown, ticks
from scratchlm.reports.page import REPORT_FILE, write_report
from scratchlm.tours.quickstart.attention import AnswerAttention
from scratchlm.tours.quickstart.qa_eval import QuizAnswer, Reading
from scratchlm.tours.quickstart.result import Phase, QuickstartResult, write_quickstart_report

HOSTILE = "'\"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>{{ 7 * 7 }}</style>"
BETWEEN = Interval(0.251, 0.752)
VOID = {"meta", "input", "img", "br"}
DRAWN = {"polyline"}


class Read(HTMLParser):
    """Collects tags, attributes and text, and holds that every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in DRAWN, tag
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data


def log(out: Path) -> None:
    """Write a log such as a run's, with all kinds of records."""
    records = RunLog(out / LOG_FILE)
    for step in (0, 10, 20):
        records.write(
            Train(step=step, loss=3.0 - step / 10, gradient_norm=None, tokens=512, skipped=False,
                  timing=Timing(0.0 if step else 0.5))
        )  # fmt: skip
        records.write(Evaluation(step=step, loss=3.1, bits_per_byte=1.2345, tokens=1234, f1=0.5, accuracy=0.6,
                                 led=0.5, margin=0.1, score=0.4))  # fmt: skip
        records.write(rollout(step))
        records.write(runfolder.Sample(step=step, text=HOSTILE))


def rollout(step: int) -> Rollout:
    return Rollout(step=step, reward=0.3, spread=0.2, zero_spread=0.1, kl=None if step else 0.1, length=5.0, sample="")


def quickstart(out: Path) -> None:
    answers = [QuizAnswer(split, HOSTILE, HOSTILE, HOSTILE, 0.25) for split in ("held-in", "held-out")]
    result = QuickstartResult(
        HOSTILE, HOSTILE, 123456, HeldOutLoss(1000.0, 300, 1718), 0.987, [Phase(HOSTILE, 1.23, 4.56)], 77.0, 88.0,
        reading=Reading(67, 0.4321, 0.1234, [HOSTILE]), questions=answers, left_out=[HOSTILE], sample=HOSTILE,
        minutes_to_ngram=17,
        attention=AnswerAttention([(HOSTILE, 0.31)], [(HOSTILE, 0.12)], HOSTILE, "", HOSTILE, False, 2, 4),
    )  # fmt: skip
    write_quickstart_report(out, result)


def pretrain(out: Path) -> None:
    machine = {"processor": HOSTILE}
    skipped = [
        SkippedStep(15, HOSTILE, (BadDocument(31, 9.87, 12, HOSTILE), BadDocument(3, None, 1, ""))),
        SkippedStep(16, ""),
    ]
    RunLog(out / LOG_FILE).write(Rollback(step=12, from_step=17, reason=HOSTILE))
    manifest = {"machine": machine, "threads": 3, "dtype": "bf16", "seed": 5, "joules": 1234567.0}
    rows = [("seconds", "1,234", HOSTILE)]
    write_report(out, "pretrain.jinja", manifest=manifest, skipped=skipped, forecast=rows, use=0.4712)


def instruct(out: Path) -> None:
    scores = Plain(exact=0.5123, exact_interval=BETWEEN, chrf=45.6, chrf_interval=Interval(40.1, 50.2), stopped=0.87)
    result = Plain(
        conversations=4321, layout=HOSTILE, held_out=98, seconds=12.0, truncated=3, loss=1.111, loss_before=2.222,
        before=scores, after=scores, split="rewordings",
        recall=Plain(questions=40, before=1, after=39, rewordings=38, rewordings_before=2, rewordings_after=37, bm25=36,
                     general=14, general_same=13),
    )  # fmt: skip
    exchanges = [BeforeAndAfter(HOSTILE, HOSTILE, HOSTILE, f"{HOSTILE} more")]
    result.exchanges = exchanges
    verdict = judge_answers(exchanges, result.loss_before, result.loss, 30)
    first = first_changed(exchanges)
    write_report(
        out, "instruct.jinja", result=result, kept="kept: step 7", shown=exchanges, verdict=verdict, first=first
    )


def prefer(out: Path) -> None:
    result = Plain(
        method=HOSTILE, pairs=4321, held_out=98, seconds=12.0, left_out=3, accuracy=0.6543, accuracy_before=0.5432,
        accuracy_interval=BETWEEN, led=0.7654, margin=1.23, kl=0.0123,
    )  # fmt: skip
    verdict = judge_score(HOSTILE, 0.5432, 0.6543, BETWEEN, 1.0)
    write_report(out, "prefer.jinja", result=result, kept="kept: step 7", verdict=verdict)


def reinforce(out: Path) -> None:
    result = Plain(
        task=HOSTILE, held_out=98, seconds=12.0, score=0.6543, score_before=0.5432, score_interval=BETWEEN,
        verdict=Plain(reward_gain=0.45, score_gain=0.05, hacked=True), exchanges=[(HOSTILE,) * 4],
    )  # fmt: skip
    told = {
        "verdict": judge_score(HOSTILE, 0.5432, 0.6543, BETWEEN, 1.0),
        "first": first_changed([BeforeAndAfter(*[HOSTILE] * 4)]),
    }
    write_report(out, "reinforce.jinja", result=result, kept="kept: step 7", drawn=[rollout(0), rollout(1)], **told)


def classified(labels: tuple[str, ...], positive: int | None) -> tuple[Any, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, len(labels), 80)
    chances = draw.dirichlet(np.ones(len(labels)), 80)
    result = Plain(
        labels=labels, positive=None if positive is None else labels[positive], training_texts=4321, seconds=12.0,
        validation_texts=98, step=7, steps=9, chosen=True, scores=score(chances, truth, labels, positive),
        temperature=1.23, calibration_error=0.0987, calibration_error_after=0.0456, threshold=0.432, tuned=True,
        f1_at_half=0.543, baseline=Plain(f1=0.99), versus=lambda: HOSTILE,
        mistakes=[Plain(text=HOSTILE, truth=HOSTILE, given=HOSTILE, probability=0.987)],
    )  # fmt: skip
    return result, chances, truth


def classify(out: Path) -> None:
    result, chances, truth = classified((HOSTILE, "plain"), 0)
    charts = class_charts(result, chances, truth, 0)
    write_report(out, "classify.jinja", result=result, verdict=judge_classes(0.9, BETWEEN, 0.5, 0.8, 0.7, 2), **charts)


def classify_many(out: Path) -> None:
    result, chances, truth = classified((HOSTILE, *map(str, range(SQUARE))), None)
    charts = class_charts(result, chances, truth, None)
    write_report(out, "classify.jinja", result=result, verdict=judge_classes(0.9, BETWEEN, 0.1, 0.8, 0.7, 2), **charts)


def experiment(out: Path) -> None:
    outcome = Outcome(
        HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE},
        {HOSTILE: Value(0.1234, 0.1, 0.2), "none": Value(math.nan)}, {}, {HOSTILE: Claim(HOSTILE, False)},
        [Table(HOSTILE, [HOSTILE, "b"], [[HOSTILE, HOSTILE]])],
        [Curves(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: ([1, 10, 100], [0.5, math.nan, 0.25])}, logarithmic=True)],
        [TextSample(HOSTILE, HOSTILE), TextSample.asked(HOSTILE, {HOSTILE: HOSTILE}, HOSTILE)], [HOSTILE],
        dots=[Dots(HOSTILE, HOSTILE, [Dot(HOSTILE, Value(0.5678, 0.4, 0.7, (0.5, 0.6)))])],
    )  # fmt: skip
    write_experiment(out, outcome)


def sweep(out: Path) -> None:
    trials = [
        Ended(1, {"training.rate": 0.02, HOSTILE: HOSTILE}, [2.3456, 1.9876]),
        Ended(0, {"training.rate": 0.0015, HOSTILE: "x"}, [2.4567]),
        Ended(2, {"training.rate": 7.5, HOSTILE: "x"}, [], HOSTILE),
    ]
    write_sweep_report(out, SweepResult(["training.rate", HOSTILE], [300, 1234], trials), out / "trials" / "001-1234")


NUMBERS = {
    quickstart: ["123,456", "0.840", "0.987", "1,718", "43%", "12%", "67", "77 of 88", "1.2 s", "4.6 s", "17 minutes",
                 "1 of 1", "25%", "57%", "31%", "8"],
    pretrain: ["1.2345", "3.1000", "1,234", "20", "3 threads in bf16, seed 5", "31", "9.87", "step 12"],
    instruct: ["It learned", "1 of 1 held-out answers",
               "4,321", "98", "51.2%", "25.1% to 75.2%", "45.6", "40.1 to 50.2", "87%", "1.111", "2.222", "step 7",
               "rewordings", "39", "38", "37", "36", "13 of 14"],
    prefer: ["4,321", "98", "3 pairs", "65.4%", "54.3%", "25.1% to 75.2%", "76.5%", "1.23", "0.0123", "step 7"],
    reinforce: ["98", "65.4%", "54.3%", "25.1% to 75.2%", "+0.45", "+0.05", "reward hacking", "step 7"],
    classify: ["4,321", "98", "80 held out", "1.23", "0.099", "0.046", "0.432", "0.543", "0.987", "step 7 of 9"],
    classify_many: ["4,321", "1.23", "0.099", "0.046", "0.987"],
    sweep: ["3 trials", "0.02", "0.0015", "7.5", "2.3456", "1.9876", "2.4567", "300 steps", "1,234 steps"],
    experiment: ["0 of 1", "0.1234", "0.1", "0.2", "does not hold", "0.568", "None of the 1 claims holds"],
}  # fmt: skip


@pytest.mark.parametrize("write", NUMBERS, ids=lambda write: write.__name__)
def test_a_report_keeps_its_numbers_and_shows_hostile_text_as_text(write: Any, tmp_path: Path) -> None:
    out = tmp_path / "a <b> & 'c'"
    out.mkdir()
    log(out)
    write(out)
    text = (out / REPORT_FILE).read_text(encoding="utf-8")
    read = Read(text)
    assert read.tags.count("script") == read.tags.count("style") == 1
    assert not {"img", "link", "iframe", "object", "a"} & set(read.tags)
    assert [pair for pair in read.attributes if pair[0].startswith("on") or pair[0] in ("src", "href")] == []
    assert HOSTILE in read.text
    flat = re.sub(r"\s+", " ", read.text)
    assert [number for number in NUMBERS[write] if number not in flat] == []
    assert "49" not in read.text.replace("0.49", "")
    for name, value in read.attributes:
        if name == "data-curves":
            assert all(curve["points"] for curve in json.loads(value))


def test_a_claim_has_a_chip_code_is_code_and_an_interval_a_line_of_its_own(tmp_path: Path) -> None:
    outcome = Outcome("limits", "What of x < 1?")
    verdicts = {"A `not` is lost": True, "two": False, "three": None}
    outcome.claims = {says: Claim(says, holds, control="it `may` be") for says, holds in verdicts.items()}
    outcome.values = {"none": Value(0.0, 0.0, 0.278, share=True, cases=12)}
    outcome.dots = [Dots("Answers", "fraction", [Dot("with a `not`", outcome.values["none"])])]
    outcome.tables = [Table("T", ["a"], [[outcome.values["none"].shown(".1%")], ["a text (2 to 3 words)"]])]
    outcome.samples = [TextSample.asked("Where?", {"rules": "Here.", "model": ""}, "There.")]
    write_experiment(tmp_path, outcome)
    text = (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    assert re.findall(r'class="chip (\w+)">([^<]+)<', text) == [
        ("good", "holds"), ("bad", "does not hold"), ("unclear", "could not be shown"),
    ]  # fmt: skip
    assert "`" not in text.split("<script>")[0]
    assert "A <code>not</code> is lost" in text
    assert "with a <code>not</code>" in text
    assert "<td>0 of 12<small class=interval>0.0% to 27.8%</small></td>" in text
    assert "<td>a text (2 to 3 words)</td>" in text
    assert 'title="95% interval 0.0% to 27.8%"' in text
    assert text.index("A <code>not</code> is lost") < text.index("class=rows") < text.index("chip good")
    assert text.count("<details><summary>What else would give these numbers") == 3
    assert re.findall(r"<p class=(?:said|answer|expected)>(?:<small>(\w+)</small>)?([^<]+)</p>", text) == [
        ("", "Where?"), ("rules", "Here."), ("model", "(nothing)"), ("", "true: There."),
    ]  # fmt: skip


def test_a_small_run_refutes_nothing_unless_a_quickstarts_model_answered(tmp_path: Path) -> None:
    outcome = Outcome("limits", "What?", settings={"small": True, "model": None})
    outcome.claims = {"one": Claim("one", holds=False)}
    write_experiment(tmp_path, outcome)
    text = (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    assert 'chip unclear">too small to judge<' in text
    assert "scratchlm quickstart</code> first" in text
    outcome.settings["model"] = "../quickstart/model"
    write_experiment(tmp_path, outcome)
    text = (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    assert 'chip bad">does not hold<' in text
    assert "quick look" not in text


def test_a_fine_tuning_of_one_logged_step_has_no_chart(tmp_path: Path) -> None:
    records = RunLog(tmp_path / LOG_FILE)
    records.write(Train(step=1, loss=3.0, gradient_norm=None, tokens=5, skipped=False, timing=Timing(1.0)))
    records.write(Evaluation(step=1, loss=3.1, bits_per_byte=1.2, tokens=12))
    instruct(tmp_path)
    text = (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    assert "data-curves" not in text
    assert "The learning curve" not in text
    log(tmp_path)
    instruct(tmp_path)
    assert (tmp_path / REPORT_FILE).read_text(encoding="utf-8").count("data-curves") == 2


def test_a_quickstart_on_a_text_of_ones_own_has_no_questions_to_report(tmp_path: Path) -> None:
    result = QuickstartResult("o", "novel.txt", 123456, HeldOutLoss(1000.0, 300, 1718), 0.5, [], 77.0, 88.0)
    write_quickstart_report(tmp_path, result)
    read = Read((tmp_path / REPORT_FILE).read_text(encoding="utf-8"))
    assert "novel.txt" in read.text
    assert not {"Questions and answers", "What it attended to", "Watch it learn to write"} & set(read.text.splitlines())
    assert "scratchlm generate" in read.text
    assert "scratchlm chat" not in read.text


def test_a_command_to_try_next_takes_a_folder_of_any_name(tmp_path: Path) -> None:
    out = tmp_path / "my run; rm -rf x"
    out.mkdir()
    log(out)
    prefer(out)
    assert "scratchlm chat 'my run; rm -rf x'" in Read((out / REPORT_FILE).read_text(encoding="utf-8")).text


def test_every_template_that_a_run_fills_is_tested_here() -> None:
    parts = {"base", "parts", "glossary", "timelapse"}  # test_timelapse.py has the last
    found = {path.stem for path in Path(page.__file__).parent.glob("*.jinja")} - parts
    assert found == {write.__name__ for write in NUMBERS if write is not classify_many}


def test_every_term_that_a_template_explains_is_in_the_glossary() -> None:
    folder = Path(page.__file__).parent
    glossary = set(re.findall(r'^  "([^"]+)":', (folder / "glossary.jinja").read_text(encoding="utf-8"), re.MULTILINE))
    used = {term for path in folder.glob("*.jinja") for term in re.findall(r'term\("([^"]+)"', path.read_text("utf-8"))}
    assert used == glossary


def test_axes_have_round_numbers_around_what_was_measured() -> None:
    assert ticks(0.13, 0.91) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 0.96) == [0, 0.25, 0.5, 0.75, 1]
    assert ticks(-3, 12) == [-5, 0, 5, 10, 15]
    assert shown([0.0, 0.25, 0.5]) == ["0", "0.25", "0.5"]
    assert shown([0, 500, 1000, 1500]) == ["0", "500", "1,000", "1,500"]
    assert shown([0, 5000, 10000]) == ["0", "5k", "10k"]
    assert shown([2e6]) == ["2M"]


def test_labels_do_not_cover_each_other() -> None:
    assert apart([50, 50, 10], [10, 10, 10]) == [50, 60, 10]
    assert apart([99, 98, 97], [10, 20, 10]) == [100, 85, 70]


def test_a_curve_is_broken_where_nothing_was_measured() -> None:
    drawn = chart("t", "x", "y", {"a": ([0, 1, 2, 3], [1.0, math.nan, None, 2.0]), "none": ([1], [math.inf])})
    assert [line.name for line in drawn.lines] == ["a"]
    assert [len(piece.split()) for piece in drawn.lines[0].pieces] == [1, 1]
    assert [point[2:] for point in drawn.lines[0].points] == [(0, 1), (3, 2)]
    assert chart("t", "x", "y", {"a": ([], [])}).lines == []
    assert chart("t", "x", "y", {"a": ([5], [3])}).lines[0].points[0][:2] == (50, 50)
    assert chart("t", "x", "y", {"a": ([0, 1, 10], [1, 2, 3])}, logarithmic=True).lines[0].points[0][0] == 0
    assert [
        point[0] for point in chart("t", "x", "y", {"a": ([1, 10, 100], [1, 2, 3])}, logarithmic=True).lines[0].points
    ] == [0, 50, 100]


def test_a_step_that_took_no_time_has_a_speed() -> None:
    assert Train(step=1, loss=1.0, gradient_norm=None, tokens=5, skipped=False, timing=Timing(0.0)).speed > 0
