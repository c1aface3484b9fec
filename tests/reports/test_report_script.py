"""The script of a report in a real browser: a chart reads its points, the slider shows one sample, print shows all."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from browser import after_script, needs_browser
from scratchlm.base.runfolder import LOG_FILE, RunLog, Sample, Timing, Train
from scratchlm.evaluation.bits import HeldOutLoss
from scratchlm.reports.page import REPORT_FILE
from scratchlm.tours.quickstart.result import QuickstartResult, write_quickstart_report

TELL = """
  const told = {};
  try { STEPS } catch (error) { told.error = String(error); }
  const out = document.createElement("pre");
  out.id = "told";
  out.textContent = JSON.stringify(told);
  document.body.append(out);
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of a quickstart with three samples and a loss curve of three points."""
    out = tmp_path_factory.mktemp("run")
    records = RunLog(out / LOG_FILE)
    for step in (0, 10, 20):
        loss = 3.0 - step / 10
        records.write(Train(step=step, loss=loss, gradient_norm=1.0, tokens=512, skipped=False, timing=Timing(0.5)))
        records.write(Sample(step=step, text=f"text after {step}"))
    result = QuickstartResult("o", "novel.txt", 123456, HeldOutLoss(1000.0, 300, 1718), 0.5, [], 77.0, 88.0)
    write_quickstart_report(out, result)
    return (out / REPORT_FILE).read_text(encoding="utf-8")


def told(report: str, steps: str, folder: Path) -> dict[str, Any]:
    """Run statements in the report that fill `told`, and return it."""
    page = after_script(report, TELL.replace("STEPS", steps), folder)
    found = re.search(r'<pre id="told">(.*?)</pre>', page, re.DOTALL)
    assert found, page[-2000:]
    values: dict[str, Any] = json.loads(unescape(found[1]))
    assert "error" not in values, values
    return values


@needs_browser
def test_arrow_keys_read_the_points_of_a_chart_one_by_one(report: str, tmp_path: Path) -> None:
    steps = """
      const area = document.querySelector(".area"), readout = area.querySelector(".readout");
      told.hidden = readout.hidden;
      told.read = ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight", "x"].map((key) => {
        area.dispatchEvent(new KeyboardEvent("keydown", { key }));
        return readout.textContent;
      });
      told.shown = !readout.hidden;
      area.dispatchEvent(new Event("blur"));
      told.gone = readout.hidden;
    """
    values = told(report, steps, tmp_path)
    last, middle, first = "training: 1 (step 20)", "training: 2 (step 10)", "training: 3 (step 0)"
    assert values["read"] == [last, middle, first, first, middle, middle]
    assert values["hidden"] is values["shown"] is values["gone"] is True


@needs_browser
def test_the_pointer_reads_the_nearest_point(report: str, tmp_path: Path) -> None:
    steps = """
      const area = document.querySelector(".area"), box = area.getBoundingClientRect();
      told.read = [0.1, 0.6, 0.9].map((part) => {
        area.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + part * box.width }));
        return area.querySelector(".readout").textContent;
      });
    """
    assert told(report, steps, tmp_path)["read"] == [
        "training: 3 (step 0)", "training: 2 (step 10)", "training: 1 (step 20)",
    ]  # fmt: skip


@needs_browser
def test_the_slider_shows_one_sample_and_print_shows_all(report: str, tmp_path: Path) -> None:
    steps = """
      const shown = () => [...document.querySelectorAll(".frame")].filter((frame) => !frame.hidden)
        .map((frame) => frame.querySelector(".sample").textContent);
      const slider = document.querySelector(".lapse input");
      told.first = shown();
      slider.value = 1;
      slider.dispatchEvent(new Event("input"));
      told.moved = shown();
      dispatchEvent(new Event("beforeprint"));
      told.printed = shown();
      dispatchEvent(new Event("afterprint"));
      told.after = shown();
      told.bar = !document.querySelector(".lapse .bar").hidden;
      const button = document.querySelector(".lapse button");
      button.click();
      told.playing = [button.textContent, shown()];
      button.click();
      told.paused = button.textContent;
    """
    values = told(report, steps, tmp_path)
    assert values["first"] == ["text after 20"]
    assert values["moved"] == values["after"] == ["text after 10"]
    assert values["printed"] == ["text after 0", "text after 10", "text after 20"]
    assert values["bar"] is True
    assert values["playing"] == ["Pause", ["text after 0"]]
    assert values["paused"] == "Play"
