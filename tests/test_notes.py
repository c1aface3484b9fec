"""The notebooks run from top to bottom, and what they claim holds; progress shows in a real Jupyter kernel."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

NOTES = Path(__file__).parent.parent / "notes"


def run_notebook(path: Path) -> dict[str, Any]:
    """Run all cells of a marimo notebook and return what they define."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, defined = module.app.run()
    return dict(defined)


@pytest.mark.slow
def test_the_first_notebook_makes_a_model_that_beats_counting() -> None:
    page = run_notebook(NOTES / "first_model.py")
    assert page["before"].loss == pytest.approx(page["uniform"], abs=0.05)
    assert page["after"].loss < page["rival"] < page["before"].loss
    assert page["trained"].startswith(page["prompt"].value)
    assert page["trained"] != page["untrained"]


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    return run_notebook(NOTES / "01_what_a_language_model_is.py")


@pytest.mark.slow
@pytest.mark.xdist_group("chapter")
def test_the_first_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["together"] == pytest.approx(1.0)
    assert chapter["largest"] < 1e-9
    assert chapter["plain_nats"] == pytest.approx(chapter["package_nats"])
    assert chapter["cost"] - chapter["least"] < 0.1  # the gradient has nearly come to what counting says at once
    assert chapter["gap"] < 1e-3
    assert chapter["written_out"] == pytest.approx(chapter["used"], rel=1e-5)
    assert chapter["slope"] == pytest.approx(chapter["nudged"], rel=0.1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.xdist_group("chapter")
def test_what_the_first_chapter_claims_holds_and_its_exercises_can_be_solved(chapter: dict[str, Any]) -> None:
    assert chapter["by_length"][1] > chapter["by_length"][2] > chapter["by_length"][3]
    assert chapter["trained"].bits_per_byte < 0.7 * chapter["start"].bits_per_byte
    assert abs(chapter["right"][1] - 0.5) < 0.05  # single words cannot tell the order of words
    assert chapter["right"][2] > 0.8
    assert chapter["solved"] == [1, 2, 3]
    assert chapter["check"](lambda loss: loss, lambda nats, text: 1.0, lambda scores, target: scores) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_first_chapter_runs_in_jupyter_too_and_is_that_of_marimo() -> None:
    import nbclient
    import nbformat

    file = NOTES / "01_what_a_language_model_is"
    notebook = nbformat.read(file.with_suffix(".ipynb"), 4)
    page = file.with_suffix(".py").read_text(encoding="utf-8")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line.strip() for source in cells for line in source.splitlines() if line.strip()]
    assert [line for line in lines if line not in page] == []
    assert len(cells) + sum(cell.cell_type == "markdown" for cell in notebook.cells) == page.count("@app.cell")
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "all together 1.000000" in said


CELL = """
import torch
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from scratchlm.training.progress import TrainingProgress

ids = torch.arange(4000).remainder(97).numpy()
with TrainingProgress("pretrain", 20) as progress:
    batches = WindowBatches(ArrayTokens(ids), 2, 16, 0)
    fit(Loop(build_decoder(tiny(), 0), batches, TrainingConfig(steps=20)), watcher=progress)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_progress_is_a_bar_in_jupyter_not_a_list_of_lines() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]
    assert len(shown) == 1, outputs  # redrawn in place
    assert shown[0].startswith("pretrain: step 20/20, loss ")
