"""The notebooks run from top to bottom, and what they claim holds; progress shows in a real Jupyter kernel."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
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
@pytest.mark.long
def test_the_first_notebook_makes_a_model_that_beats_counting() -> None:
    page = run_notebook(NOTES / "first_model.py")
    assert page["before"].loss == pytest.approx(page["uniform"], abs=0.05)
    assert page["after"].loss < page["rival"] <= min(page["by_n"].values()) < page["before"].loss
    assert page["trained"].startswith(page["prompt"].value)
    assert page["trained"] != page["untrained"]


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    return run_notebook(NOTES / "01_what_a_language_model_is.py")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("chapter")
def test_the_first_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["together"] == pytest.approx(1.0)
    assert chapter["largest"] < 1e-9
    assert chapter["plain_nats"] == pytest.approx(chapter["package_nats"])
    assert chapter["gap"] < 1e-3
    assert chapter["written_out"] == pytest.approx(chapter["used"], rel=1e-5)
    assert chapter["slope"] == pytest.approx(chapter["nudged"], rel=0.1, abs=1e-4)
    assert (
        chapter["seen_by"] > 0.01 > chapter["unchanged_by"] == 0.0
    )  # the limited network sees no more than the n-gram model
    assert chapter["reach"] < chapter["ngrams"]["medium"].order


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("chapter")
def test_what_the_first_chapter_claims_holds_and_its_exercises_can_be_solved(chapter: dict[str, Any]) -> None:
    lengths = chapter["by_length"]["medium"]
    assert lengths[1] > lengths[2] > lengths[3] > lengths[4] > lengths[chapter["ngrams"]["medium"].order]
    assert lengths[4] - min(lengths.values()) < 0.05 < lengths[3] - min(lengths.values())
    assert chapter["unseen_nats"] > 0.5 * (chapter["costs"][-1] - chapter["least"]) > 0.0
    network, counted = chapter["network_test"], chapter["ngram_test"]
    assert max(network["medium"]) < counted["medium"]  # every seed beats counting on the medium text
    assert min(network["little"]) > counted["little"]  # and none does on little
    assert max(network["large"]) < counted["large"]  # every seed does on the large text
    limited, once = chapter["limited_bits"], chapter["once_bits"]
    assert max(limited) < counted["medium"] < min(once)
    best = sum(network["medium"]) / 3
    assert 0 < sum(limited) / 3 - best < 0.5 * (counted["medium"] - best)  # context is the smaller part of the gain
    assert not set(chapter["test_stories"]) & set(chapter["stories"])
    assert len(chapter["test_stories"]) == 80
    assert chapter["networks"]["medium"][0].parameter_count() < chapter["ngram_numbers"]
    right = chapter["right"]
    assert right["naive Bayes, single words"] == 0.5  # both sentences have the same words
    assert min(right["naive Bayes, with pairs of words"], right["language model (n-grams)"]) > 0.95
    assert chapter["solved"] == [1, 2, 3]
    assert chapter["check"](lambda loss: loss, lambda nats, text: 1.0, lambda logits, target: logits) == []


def test_the_first_chapter_says_how_far_off_a_guess_was(capsys: pytest.CaptureFixture[str]) -> None:
    cells = stored_chapter()
    reveal = next(source for source, _ in cells if "def reveal" in source)
    names: dict[str, Any] = {}
    exec(reveal[reveal.index("def reveal") :], names)
    names["reveal"](1.25, None, "bits per byte")
    names["reveal"](1.25, 1.5, "bits per byte")
    none, some = capsys.readouterr().out.splitlines()
    assert none == "Result: 1.25 bits per byte. You set no guess."
    assert some == "Result: 1.25 bits per byte. Your guess was 1.5, off by 0.25."


CHAPTER = NOTES / "01_what_a_language_model_is"
STEPS = 'steps_of = {"little": 100, "medium": 450, "large": 1350}'
ONE_PASS = "one_pass = round(len(train) / (8 * 96))"


def stored_chapter() -> list[tuple[str, list[Any]]]:
    """Return the source and stored outputs of each code cell of the Jupyter form."""
    import nbformat

    notebook = nbformat.read(CHAPTER.with_suffix(".ipynb"), 4)
    return [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def test_the_jupyter_form_of_the_first_chapter_is_that_of_marimo_and_shows_all_without_a_kernel(tmp_path: Path) -> None:
    import nbformat

    made = tmp_path / "made.ipynb"
    command = ["export", "ipynb", str(CHAPTER.with_suffix(".py")), "--sort", "top-down", "--output", str(made)]
    subprocess.run([sys.executable, "-m", "marimo", *command], check=True, capture_output=True)
    wanted, stored = (nbformat.read(file, 4).cells for file in (made, CHAPTER.with_suffix(".ipynb")))
    assert [(cell.cell_type, cell.source) for cell in stored] == [(cell.cell_type, cell.source) for cell in wanted]
    for source, outputs in stored_chapter():
        kinds = [kind for output in outputs for kind in output.get("data", {"text": ""})]
        assert ("image/png" in kinds) == ("plt.show()" in source), source
        assert outputs or "print(" not in source or "def reveal" in source, source
        assert "text/html" not in kinds, source  # a widget would be blank without a kernel
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    sections = sum(cell.source.startswith("## ") for cell in stored if cell.cell_type == "markdown")
    assert sum("plt.show()" in source for source, _ in stored_chapter()) == sections - 1  # all but the exercises


def test_sentences_of_the_first_chapter_are_short() -> None:
    text = "\n\n".join(re.findall(r'mo\.md\(r?f?"""(.*?)"""', CHAPTER.with_suffix(".py").read_text("utf-8"), re.DOTALL))
    sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.?:!])\s|\n\s*\n|\n\s*[-#] ", text)]
    assert len(sentences) > 80
    assert [sentence for sentence in sentences if len(sentence.split()) > 25] == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_first_chapter_runs_in_jupyter_too() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.read(CHAPTER.with_suffix(".ipynb"), 4)
    for cell in notebook.cells:  # the other tests train; here the cells alone are tried
        short = cell.source.replace(STEPS, STEPS.replace("1350", "2").replace("450", "2").replace("100", "2"))
        cell.source = short.replace(ONE_PASS, "one_pass = 2")
    assert sum('"large": 2}' in cell.source or "one_pass = 2" in cell.source for cell in notebook.cells) == 2
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "after it sum to 1.000000" in said
    assert "The solutions solve: 1, 2, 3." in said


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
@pytest.mark.long
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
