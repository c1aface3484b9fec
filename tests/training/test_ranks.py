"""Several processes train as one: the same gradients, one loss curve, a resume on any number of them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from scratchlm.base.runfolder import Rollback, read_log
from training import on_ranks
from training.torchrun import losses, on, prepared, settings

SCRIPT = Path(on_ranks.__file__)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="gloo's ranks are tried on Linux")]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict]:
    folder = tmp_path_factory.mktemp("gradients")
    for ranks in (1, 2, 4):
        on(ranks, str(SCRIPT), str(folder / str(ranks)))
    return {ranks: torch.load(folder / str(ranks)) for ranks in (1, 2, 4)}


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [2, 4])
def test_gradients_are_the_same_on_any_number_of_ranks_in_any_micro_batches(gradients: dict, ranks: int) -> None:
    named = [name for name in gradients[1] if "micro" in name]
    assert len(named) == 24
    for name in named:
        whole = gradients[1][name.rsplit(",", 1)[0] + ", micro None"]
        assert gradients[ranks][name].keys() == whole.keys()
        for each, value in whole.items():
            difference = (gradients[ranks][name][each] - value).abs().max()
            assert difference <= 1e-6 * max(1.0, float(value.abs().max())), (name, each)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [2, 4])
def test_sums_leave_before_the_gradient_is_whole_and_outlast_a_pass_that_failed(gradients: dict, ranks: int) -> None:
    for how, halved in (("without memory", 1), ("begun anew", 0)):
        alone, together = gradients[1][how], gradients[ranks][how]
        sent, of, *rest = together["told"].tolist()
        assert of > 10
        assert of - 2 <= sent < of  # the embedding's own sum, and perhaps the one before it, were not on their way
        assert rest == [halved]
        assert together.keys() == alone.keys()
        for name in alone.keys() - {"told"}:
            difference = (together[name] - alone[name]).abs().max()
            assert difference <= 1e-6 * max(1.0, float(alone[name].abs().max())), (how, name)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_model_is_freed_with_its_loop(gradients: dict, ranks: int) -> None:
    assert bool(gradients[ranks]["let go"]["freed"])


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("how", ["full", "hybrid"])
def test_gradients_in_parts_are_those_of_one_process(gradients: dict, ranks: int, how: str) -> None:
    named = [name for name in gradients[ranks] if f", {how}, packed" in name]
    assert len(named) == 6
    for name in named:
        whole = gradients[1][name.replace(f", {how}", "").rsplit(",", 1)[0] + ", micro None"]
        assert gradients[ranks][name].keys() == whole.keys()
        for each, value in whole.items():
            difference = (gradients[ranks][name][each] - value).abs().max()
            assert difference <= 1e-6 * max(1.0, float(value.abs().max())), (name, each)
    held, numbers = gradients[ranks][f"held, {how}"]["numbers"].tolist()
    assert held <= 1.2 * numbers / (ranks if how == "full" else 2)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("shape", on_ranks.SHAPES)
def test_gradients_of_every_family_in_parts_are_those_of_one_process(gradients: dict, shape: str) -> None:
    alone, together = (gradients[ranks][f"shape {shape}"] for ranks in (1, 2))
    assert together.keys() == alone.keys()
    norm = float(alone["gradient norm"])
    for name, value in alone.items():
        assert (together[name] - value).abs().max() <= 1e-6 * max(1.0, norm), name


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize(
    ("ranks", "how"),
    [(ranks, how) for ranks in (2, 4) for how in ("", ", full", ", hybrid")],
)
def test_rows_that_are_left_out_are_so_for_all(gradients: dict, ranks: int, how: str) -> None:
    alone, together = gradients[1]["left out"], gradients[ranks][f"left out{how}"]
    assert alone["rows"].nonzero().flatten().tolist() == [29, 34]
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("how", ["", ", full"])
def test_averages_of_weights_are_those_of_one_process(gradients: dict, ranks: int, how: str) -> None:
    for name, value in gradients[1]["averaged"].items():
        torch.testing.assert_close(gradients[ranks][f"averaged{how}"][name], value, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def alone(data: Path) -> Path:
    """A run on one process."""
    on(1, *settings(data, data.parent / "alone"))
    return data.parent / "alone"


@pytest.fixture(scope="module")
def two(data: Path) -> Path:
    """The same run on two ranks."""
    on(2, *settings(data, data.parent / "two"))
    return data.parent / "two"


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 4), (4, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(
    data: Path, alone: Path, two: Path, tmp_path: Path, before: int, after: int
) -> None:
    if before == 4:
        on(4, *settings(data, tmp_path / "run"))
    else:
        shutil.copytree(alone if before == 1 else two, tmp_path / "run")
    for later in [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name > "00000016"]:
        for file in later.iterdir():
            file.unlink()
        later.rmdir()  # as if it had been killed after step 16
    resume = ["-m", "scratchlm", "pretrain", "--resume", str(tmp_path / "run"), "--data", str(data)]
    if after != 4:  # which starts four processes
        refused = on(after, *resume, fails=True)
        assert f"ranks: the run began with {before} and would go on with {after}" in refused
        assert refused.count("ranks: the run began") == 1  # one rank speaks for all
    on(after, *resume, "--allow-changes")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ranks"] == after
    assert manifest["changes"][0]["changed"] == [f"ranks {before} to {after}"]
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), abs=2e-5)


@pytest.mark.xdist_group("ranks")
def test_a_run_in_parts_has_the_losses_and_checkpoints_of_one_process(data: Path, alone: Path, tmp_path: Path) -> None:
    on(4, *settings(data, tmp_path / "run"), "--sharding", "full")
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), abs=2e-5)
    for file in (tmp_path / "run" / "checkpoints" / "00000024").iterdir():
        file.unlink()
    (tmp_path / "run" / "checkpoints" / "00000024").rmdir()  # as if it had been killed after step 16
    resume = ["-m", "scratchlm", "pretrain", "--resume", str(tmp_path / "run"), "--allow-changes"]
    copied = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copied)
    on(2, *resume)
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), abs=2e-5)
    on(1, *resume[:4], str(copied), "--allow-changes")  # one process holds all of it again
    assert losses(copied) == pytest.approx(losses(alone), abs=2e-5)
    told = on(1, *settings(data, tmp_path / "one"), "--sharding", "full", fails=True)
    assert "--sharding full: needs several processes; start them with torchrun" in told


HYBRID = """
import os, sys
os.environ["LOCAL_WORLD_SIZE"] = "2"  # as if two ranks were on each machine
from scratchlm.cli import main
main(sys.argv[1:])
"""


@pytest.mark.xdist_group("ranks")
def test_a_run_whose_machines_hold_a_copy_each_has_the_losses_of_one_process(
    data: Path, alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "hybrid.py").write_text(HYBRID, encoding="utf-8")
    script = [str(tmp_path / "hybrid.py")]
    hybrid = [*settings(data, tmp_path / "run")[2:], "--sharding", "hybrid"]
    assert "3 ranks, 2 on this machine" in on(3, *script, *hybrid, fails=True)
    on(4, *script, *hybrid)
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), abs=2e-5)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "00000024")  # as if it had been killed after step 16
    on(4, *script, "pretrain", "--resume", str(tmp_path / "run"))
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), abs=2e-5)


LEAPING = """
import sys
import scratchlm.pretraining.beginning as command
from scratchlm.cli import main
from scratchlm.training.loop import Loop

usual, step, high = command.next_token_loss, Loop.train_step, []

def leaping(model, batch):
    return usual(model, batch) * (10 if high else 1)

def watching(loop, batch):
    high[:] = [1] if loop.step >= 12 and loop.rollbacks == 0 else []
    return step(loop, batch)

command.next_token_loss, Loop.train_step = leaping, watching
main(sys.argv[1:])
"""


@pytest.mark.xdist_group("ranks")
def test_ranks_return_to_a_checkpoint_as_one_process_does(data: Path, tmp_path: Path) -> None:
    (tmp_path / "leaping.py").write_text(LEAPING, encoding="utf-8")
    watch = ["--training.spikes.window", "8", "--training.max-bad-steps", "3"]
    for ranks, name, more in ((1, "one", []), (2, "two", []), (2, "parts", ["--sharding", "full"])):
        on(ranks, str(tmp_path / "leaping.py"), *settings(data, tmp_path / name)[2:], *watch, *more)
        (back,) = [each for each in read_log(tmp_path / name / "metrics.jsonl") if isinstance(each, Rollback)]
        assert (back.step, back.from_step) == (8, 14)
        assert len(losses(tmp_path / name)) == 24
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "one"), abs=2e-5)


@pytest.mark.xdist_group("ranks")
def test_a_mistake_is_told_once_and_ends_all_ranks(data: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    told = on(2, *settings(data, tmp_path / "taken"), fails=True)
    assert told.count("scratchlm: ") == 1
    assert (tmp_path / "taken" / "letter.txt").read_text() == "mine"


OTHER = """
import os, sys
from scratchlm.cli import main

arguments = sys.argv[1:]
if os.environ["RANK"] == "1":
    arguments[arguments.index("--data") + 1] = os.environ["OTHER_DATA"]
main(arguments)
"""


@pytest.mark.xdist_group("ranks")
def test_a_rank_that_reads_other_data_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    given = ["storyworld:120KB", "--tokenizer", str(data), "--out", str(other)]
    on(1, "-m", "scratchlm", "prepare", *given)
    (tmp_path / "other.py").write_text(OTHER, encoding="utf-8")
    monkeypatch.setenv("OTHER_DATA", str(other))
    told = on(2, str(tmp_path / "other.py"), *settings(data, tmp_path / "run")[2:], fails=True)
    assert told.count("scratchlm: ") == 1
    assert "scratchlm: rank 1: its --data is not that of rank 0; give all ranks the same files" in told
    assert not (tmp_path / "run").exists()
