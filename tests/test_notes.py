"""The notebooks run from top to bottom, and what they claim holds; progress shows in a real Jupyter kernel."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scratchlm.lab.course.exercise import chapters

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


NOTEBOOKS = {each.number: NOTES / each.notebook for each in chapters() if each.notebook}
UNSET = re.compile(r"^    (guess_\d+|my_words) = None", re.MULTILINE)
"""Where a notebook waits for its reader's guess."""


def for_chapter(number: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test of what a chapter defines: one process runs all tests of it, and its notebook once."""

    def marked(test: Callable[..., None]) -> Callable[..., None]:
        for mark in (pytest.mark.slow, pytest.mark.long, pytest.mark.xdist_group(f"chapter {number}")):
            test = mark(test)
        return pytest.mark.parametrize("chapter", [number], indirect=True)(test)

    return marked


@pytest.fixture(scope="module")
def chapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a chapter defines for a reader who guessed."""
    text = NOTEBOOKS[request.param].with_suffix(".py").read_text(encoding="utf-8")
    words = '["prize", "won", "claim", "urgent"]'
    text = UNSET.sub(lambda unset: f"    {unset[1]} = {words if unset[1] == 'my_words' else 3}", text)
    file = tmp_path_factory.mktemp("chapter") / "guessed.py"
    file.write_text(text, encoding="utf-8")
    return run_notebook(file)


@for_chapter("1")
def test_the_first_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["together"] == pytest.approx(1.0)
    assert chapter["largest"] < 1e-9
    assert chapter["plain_nats"] == pytest.approx(chapter["package_nats"])
    assert chapter["gap"] < 1e-3
    assert chapter["apart"] < 1e-4
    assert chapter["slope"] == pytest.approx(chapter["nudged"], rel=0.1, abs=1e-4)
    assert chapter["maps"].sum(-1).allclose(torch.ones(()), atol=1e-5)


@for_chapter("1")
def test_what_the_first_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    lengths, counted = chapter["by_length"], chapter["counted_bits"]
    assert chapter["uniform_bits"] > lengths[1] > lengths[2] == pytest.approx(chapter["bigram_bits"], rel=0.1)
    assert lengths[2] > lengths[3] > lengths[4] > counted
    assert chapter["costs"][0] - chapter["least"] > 4 > 1 > chapter["costs"][-1] - chapter["least"] > 0
    for curve in chapter["curves"]:
        once = min(curve, key=lambda passes: abs(passes - 1))
        assert curve[once] > counted > list(curve.values())[-1]  # counting is ahead after one pass, not at the end
    assert 1 < chapter["overtaken"] < 2.5
    assert chapter["head_costs"].max() > 0.02
    rule, feature, learned = chapter["ages"].values()
    assert 50 < rule < feature < learned <= 100
    assert not set(chapter["test_stories"]) & set(chapter["stories"])


@for_chapter("1")
def test_the_exercises_of_the_first_chapter_are_solved_by_their_folded_solutions(chapter: dict[str, Any]) -> None:
    source = NOTEBOOKS["1"].with_suffix(".py").read_text("utf-8")
    folded = re.search(r"<details>.*?```python\n(.*?)```", source, re.DOTALL)
    assert folded is not None
    names: dict[str, Any] = {"math": math}
    exec(textwrap.dedent("    " + folded[1].lstrip()), names)
    solutions = [names[name] for name in ("perplexity", "bits_per_byte", "logits_gradient")]
    assert chapter["check"](*solutions) == [1, 2, 3]
    assert chapter["check"](lambda loss: loss, lambda nats, text: 1.0, lambda logits, target: logits) == []


@for_chapter("2")
def test_the_second_chapter_gives_the_packages_tokens_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["ids_of_ours"] == chapter["ids_of_package"]
    assert chapter["lookup_gap"] == 0
    assert chapter["windows_equal"]
    assert chapter["inputs"].shape == (15, 64)


@for_chapter("2")
def test_what_the_second_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    assert chapter["unknown_words"] == 3
    assert chapter["first_counts"]["e", "s"] == max(chapter["first_counts"].values()) == 9
    assert 2 < chapter["bytes_per_token"] < 2.5
    assert chapter["best_size"] == 4096
    assert all("".join(pieces) == " blackberries" for pieces in chapter["word_cuts"].values())
    assert chapter["equal_numbers"] == 0
    assert chapter["alike"] > 0.95
    assert chapter["overlapping"] == 59


@for_chapter("3")
def test_the_third_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["loop_gap"] < 1e-6
    assert max(chapter["gaps"].values()) < 1e-5
    assert chapter["cache_gap"] < 1e-6
    assert chapter["counts"][1] == chapter["counts"][4] == 4 * (96 * 96 + 96)
    assert chapter["shapes"]["attention weights"] == (2, 4, 10, 10)


@for_chapter("3")
def test_what_the_third_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    assert chapter["asked_weights"][5, 0] == pytest.approx(0.916, abs=0.001)
    assert chapter["typical"] == pytest.approx([1, 2, 4, 8, 16], rel=0.05)
    assert chapter["raw"][-1][0] > 0.8 > 0.4 > chapter["scaled"][-1][0]
    assert chapter["raw"][-1][1] < 0.5 * chapter["scaled"][-1][1]
    assert sum(chapter["cheat_losses"][-20:]) / 20 < 0.2 < 2 < sum(chapter["honest_losses"][-20:]) / 20
    assert chapter["honest_test"] < chapter["untrained"] < chapter["cheat_test"]
    assert chapter["induction"] > 95 > 5 > chapter["without_first"]
    assert chapter["times"] == 100


@for_chapter("4")
def test_the_fourth_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["lookup_gap"] == 0
    assert max(chapter[gap] for gap in ("rotary_gap", "norm_gap", "gelu_gap", "straight_gap", "gpt_gap")) < 1e-5
    assert chapter["sum_gap"] < 1e-4
    assert chapter["by_formula"] == chapter["gpt2_total"] == 124_439_808


@for_chapter("4")
def test_what_the_fourth_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    assert 30 < chapter["table_share"] < 32
    assert 66 < chapter["feed_forward_share"] < 67
    assert chapter["order_unseen"] < 1e-6 < 0.05 < chapter["order_seen"]
    assert chapter["near"] == pytest.approx(chapter["moved"].item(), abs=1e-3)
    assert chapter["alike_without"][3] > 0.99 > 0.1 > chapter["alike_with"][3]
    assert chapter["gradients_without"][1] < 1e-9 < 0.01 < chapter["gradients_with"][1]
    assert chapter["training_gigabytes"] == pytest.approx(1.99, abs=0.01)
    assert len(chapter["by_part"]) == 10
    assert max(chapter["logit_shares"], key=chapter["logit_shares"].get) == "token"
    assert chapter["years"] == pytest.approx(2.37, abs=0.01)
    assert chapter["missed"] == 1


@for_chapter("5")
def test_the_fifth_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert max(chapter[gap] for gap in ("loss_gap", "gradient_gap", "step_gap", "pieces_gap", "weights_gap")) < 1e-4
    assert chapter["gradient_by_hand"][2] == pytest.approx(-0.8)
    assert chapter["moved"].tolist() == pytest.approx([0.01] * 3, rel=0.01)


@for_chapter("5")
def test_what_the_fifth_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    assert chapter["loss_by_hand"] == pytest.approx(math.log(512), abs=0.1)
    ends = list(chapter["ends"].values())
    assert chapter["best_factor"] in (0.3, 1.0, 3.0)
    assert min(ends[0], ends[-1]) > min(ends) + 1
    others, narrow = (list(chapter[name].values()) for name in ("others", "narrow_others"))
    assert others[-1] < 3 < 6.2 < narrow[0] + 0.5 < narrow[-1]
    assert sum(chapter["narrow_own"][-20:]) / 20 < 0.5
    assert chapter["kinds"]["greedy"] < chapter["kinds"]["temperature 0.7"] < chapter["kinds"]["temperature 1.5"]
    assert chapter["wrong_loss"] > chapter["right_loss"] + 0.3
    kept = chapter["filtered"](torch.tensor([2.0, 1.0, 0.0, -1.0]), top_p=0.7)
    assert kept.gt(0).tolist() == [True, True, False, False]


@for_chapter("6")
def test_the_sixth_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert max(chapter[gap] for gap in ("score_gap", "padding_gap", "f1_gap")) < 1e-4
    assert chapter["head_numbers"] == 192
    assert chapter["fresh_loss"] == pytest.approx(math.log(2), abs=0.3)
    assert chapter["f1_of_messages"] == pytest.approx(20 / 33)


@for_chapter("6")
def test_what_the_sixth_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    assert 0.5 < chapter["padding_share"] < 0.7
    assert chapter["changed_by_last"] == 1
    assert chapter["changed_by_first"] == chapter["tokens_of_message"] == 5
    shares = chapter["by_learner"]
    assert min(known for known, _ in shares.values()) > 0.95
    assert shares["after reading"][1] > 0.9
    assert all(0.3 < shares[name][1] < 0.7 for name in ("counting", "random weights"))
    nouns = {of: each.mean(0) for of, each in chapter["noun_shares"].items()}
    assert chapter["head_share"] > 0.75
    assert chapter["head_share"] > nouns["noun at the end", "all", 1.0][1] + 0.05
    assert nouns["noun at the end", "all", 1.0][0] > 0.98
    assert max(nouns["whole sentence", "head alone", rate][0] for rate in (0.3, 1.0)) < 0.9
    assert max(nouns["whole sentence", "head alone", rate][1] for rate in (0.3, 1.0)) < 0.65
    assert nouns["whole sentence", "all", 1.0][0] > 0.98 > 0.8 > nouns["whole sentence", "all", 1.0][1]
    assert chapter["accuracies"] == [0.87, 0.87]
    recalls = [chapter["at_threshold"](least)[1] for least in (0.2, 0.3, 0.5)]
    assert recalls == sorted(recalls, reverse=True)
    assert chapter["mean_sureness"][0] > chapter["rest_right"] + 0.1
    assert chapter["calibration"][1] < chapter["calibration"][0] / 1.5
    assert (chapter["raw"].argmax(1) == chapter["cooled"].argmax(1)).all()


@for_chapter("7")
def test_the_seventh_chapter_gives_the_packages_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert chapter["reply_loss_gap"] < 1e-4
    assert chapter["learned_share"] == pytest.approx(1 / 3, abs=0.1)
    assert chapter["times_as_much"] == pytest.approx(9)


@for_chapter("7")
def test_what_the_seventh_chapter_claims_holds(chapter: dict[str, Any]) -> None:
    chances = chapter["chances_by_step"]
    assert chances[0][0] < 0.001 < 0.8 < chances[250][0]
    assert max(elsewhere for _, elsewhere in chances.values()) < 0.1
    assert 5 < chapter["first_over_half"] <= 40
    assert chapter["after_ended"]
    assert not chapter["before_ended"]
    asked, mistakes = "names who was asked about", chapter["by_mistake"]
    assert chapter["by_model"]["before"]["ends"] < 0.1 < 0.9 < mistakes["none"]["ends"]
    assert mistakes["the end is not learned"]["ends"] == 0
    assert mistakes["another form"][asked] < 0.1 < 0.6 < mistakes["none"][asked]
    assert mistakes["everything is learned"]["ends"] > 0.9
    assert mistakes["none"]["right"] < 0.5


@for_chapter("A")
def test_appendix_a_gives_torchs_numbers_by_hand(chapter: dict[str, Any]) -> None:
    assert max(chapter[gap] for gap in ("product_gap", "scalar_gap", "softmax_gap", "table_gap")) < 1e-5
    assert chapter["nudged"] == pytest.approx(chapter["from_torch"])
    assert chapter["loss_slopes"] == pytest.approx([-0.335, 0.245, 0.090], abs=0.001)


@for_chapter("A")
def test_what_appendix_a_claims_holds(chapter: dict[str, Any]) -> None:
    assert chapter["difference"].shape == (4, 4)
    assert chapter["multiplications"] == 24
    assert chapter["original"][0, 0] == 7
    assert chapter["added"] == chapter["counted"] == 256
    assert chapter["twice"] == 14
    assert chapter["fitted_slope"] == pytest.approx(2, abs=0.1)
    assert chapter["module_slope"] == pytest.approx(chapter["fitted_slope"], abs=0.01)
    assert chapter["most_by_a_line"] == 3
    assert chapter["right_cases"](chapter["bent"]) == 4
    assert chapter["bent_losses"][-1] < 0.05 < 0.69 < chapter["straight_losses"][-1]


def cells_of(path: Path) -> list[Any]:
    import nbformat

    cells: list[Any] = nbformat.read(path, 4).cells
    return cells


@pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=lambda path: path.name)
def test_the_jupyter_form_of_a_chapter_is_that_of_marimo_without_answers(notebook: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.ipynb"
    command = ["export", "ipynb", str(notebook.with_suffix(".py")), "--sort", "top-down", "--output", str(made)]
    subprocess.run([sys.executable, "-m", "marimo", *command], check=True, capture_output=True)
    wanted, stored = cells_of(made), cells_of(notebook.with_suffix(".ipynb"))
    assert [(cell.cell_type, cell.source) for cell in stored] == [(cell.cell_type, cell.source) for cell in wanted]
    assert [cell.source for cell in stored if cell.get("outputs")] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=lambda path: path.name)
def test_a_chapter_is_as_long_as_one_sitting_and_its_sentences_are_short(notebook: Path) -> None:
    source = notebook.with_suffix(".py").read_text("utf-8")
    text = "\n\n".join(re.findall(r'mo\.md\(r?f?"""(.*?)"""', source, re.DOTALL))
    sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.?:!])\s|\n\s*\n|\n\s*[-#] ", text)]
    assert 2000 <= len(text.split()) <= 4000
    assert [sentence for sentence in sentences if len(sentence.split()) > 25] == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=lambda path: path.name)
def test_a_chapter_runs_in_jupyter_and_says_no_result_before_its_guess(notebook: Path) -> None:
    import nbclient
    import nbformat

    guesses = UNSET.findall(notebook.with_suffix(".py").read_text("utf-8"))
    cells = nbformat.read(notebook.with_suffix(".ipynb"), 4)
    for cell in cells.cells:  # the other tests train; here the cells alone are tried
        cell.source = re.sub(r"steps=\d+", "steps=50", cell.source)
    nbclient.NotebookClient(cells, timeout=900, kernel_name="python3").execute()
    outputs = [output for cell in cells.cells for output in cell.get("outputs", [])]
    said = [output["text"] for output in outputs if "text" in output]
    assert sum("Your guess first" in text for text in said) == len(guesses) - ("my_words" in guesses)
    assert sum("Your words first" in text for text in said) == ("my_words" in guesses)
    assert not any("Result:" in text or "right for" in text for text in said)
    assert "image/png" not in [kind for output in outputs for kind in output.get("data", {})]


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
