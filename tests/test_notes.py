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


CELL = """
import torch
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.tokens.batches import ArrayTokens, WindowBatches
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import fit
from scratchlm.training.progress import TrainingProgress

ids = torch.arange(4000).remainder(97).numpy()
with TrainingProgress("pretrain", 20) as progress:
    fit(build_decoder(tiny(), 0), WindowBatches(ArrayTokens(ids), 2, 16, 0), TrainingConfig(steps=20), watcher=progress)
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
