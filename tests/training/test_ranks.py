"""Several processes train as one: the same gradients, one loss curve, a resume on any number of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import Train, read_log
from scratchlm.training import ranks as joining
from scratchlm.training import watchdog
from training import on_ranks

SCRIPT = Path(on_ranks.__file__)
ROOT = SCRIPT.parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="gloo's ranks are tried on Linux")]


def on(ranks: int, *command: str, fails: bool = False) -> str:
    """Run a program on so many ranks, by torchrun where they are more than one; return what it printed."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*(start if ranks > 1 else [sys.executable]), *command], capture_output=True, text=True, env=environment,
        cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


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
@pytest.mark.parametrize("ranks", [2, 4])
def test_gradients_of_ranks_that_share_layers_and_texts_are_those_of_one_process(gradients: dict, ranks: int) -> None:
    named = [name for name in gradients[ranks] if "shared" in name and not name.startswith("left out")]
    assert {name.split(", shared")[0] for name in named} == set(on_ranks.SHAPES)
    assert {tuple(map(int, name.split("shared ")[1].split(",")[0].split())) for name in named} == set(
        on_ranks.GRIDS[ranks]
    )
    for name in named:
        shape, _, packed = name.rsplit(", ", 2)
        whole = gradients[1][f"{shape}, {packed}"]
        assert gradients[ranks][name].keys() == whole.keys()
        norm = float(whole["gradient norm"])  # sums inside of layers are rounded in another order
        for each, value in whole.items():
            assert (gradients[ranks][name][each] - value).abs().max() <= 1e-6 * max(1.0, norm), (name, each)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize(
    ("ranks", "how"),
    [(ranks, how) for ranks in (2, 4) for how in ("", ", full", ", hybrid")]
    + [(2, ", shared 2 1"), (2, ", shared 1 2"), (4, ", shared 2 2")],
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
    folder = tmp_path_factory.mktemp("data")
    on(1, "-m", "scratchlm", "prepare", "storyworld:100KB", "--out", str(folder / "data"), "--vocabulary-size", "400")
    return folder / "data"


def settings(data: Path, out: Path) -> list[str]:
    sizes = ["--training.batch-size", "6", "--training.sequence-length", "32", "--training.steps", "24"]
    often = ["--training.log-every", "1", "--training.evaluate-every", "8", "--training.checkpoint-every", "8"]
    fixed = ["--dtype", "fp32", "--threads", "1", "--seed", "3"]
    return ["-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out), *sizes, *often, *fixed]


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


def losses(run: Path) -> list[float]:
    return [float(record.loss) for record in read_log(run / "metrics.jsonl") if isinstance(record, Train)]


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


@pytest.mark.xdist_group("ranks")
def test_a_run_that_shares_layers_and_texts_has_the_losses_of_one_process(data: Path, tmp_path: Path) -> None:
    heads = ["--model.attention.kv-heads", "2"]
    on(1, *settings(data, tmp_path / "one"), *heads)
    shared = ["--sharding", "full", "--tensor-parallel", "2", "--context-parallel", "2"]
    on(4, *settings(data, tmp_path / "run"), *heads, *shared)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "one"), abs=2e-5)
    last = tmp_path / "run" / "checkpoints" / "00000024"
    shutil.move(last, tmp_path / "last")  # as if it had been killed after step 16
    resume = ["-m", "scratchlm", "pretrain", "--resume", str(tmp_path / "run"), "--allow-changes"]
    assert "2 ranks are no multiple of 4; start more or fewer" in on(2, *resume, fails=True)
    on(1, *resume)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "one"), abs=2e-5)


@pytest.mark.xdist_group("ranks")
def test_what_ranks_cannot_share_is_told_at_once(data: Path, tmp_path: Path) -> None:
    shared = ["--sharding", "full", "--tensor-parallel", "2", "--context-parallel", "3", "--training.compile"]
    told = on(2, *settings(data, tmp_path / "run"), *shared, fails=True)
    assert told.count("scratchlm: ") == 1
    assert "--tensor-parallel 2: does not divide model.attention.kv_heads, 1; take a divisor of it" in told
    assert "--context-parallel 3: does not divide training.sequence_length, 32" in told
    assert "2 ranks are no multiple of 6; start more or fewer" in told
    assert "training.compile: not where ranks share layers or texts" in told
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize(
    ("set_too", "told"), [({"RANK": "0"}, "MASTER_ADDR, MASTER_PORT not set"), ({}, "RANK, MASTER")]
)
def test_half_an_address_of_the_others_is_a_mistake(
    set_too: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **set_too}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=told), joining.joined(torch.device("cpu")):
        pass


def test_a_rank_that_never_comes_is_missed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(joining, "JOINING", timedelta(seconds=3))
    monkeypatch.setattr(joining, "NOTE_AFTER", 0.1)
    with (
        pytest.raises(UserError, match=f"rank 0 of 2: not all came to 127.0.0.1:{port}"),
        joining.joined(torch.device("cpu")),
    ):
        pass
    assert f"waiting for the others at 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.xdist_group("ranks")
def test_a_killed_rank_is_told_and_all_start_again_from_the_last_checkpoint(
    data: Path, two: Path, tmp_path: Path
) -> None:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*start, "--max-restarts", "2", *settings(data, tmp_path / "run"), "--training.sample-every", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    torchrun = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "00000008"
    while not checkpoint.exists() and torchrun.poll() is None:
        time.sleep(0.02)
    listed = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    os.kill(int(listed[-1]), signal.SIGKILL)
    told, _ = torchrun.communicate(timeout=300)
    assert torchrun.returncode == 0, told
    assert "scratchlm: rank 0: lost another rank" in told
    assert losses(tmp_path / "run") == losses(two)
    weights = [(run / "checkpoints" / "00000024" / "model.safetensors").read_bytes() for run in (tmp_path / "run", two)]
    assert weights[0] == weights[1]


@pytest.mark.xdist_group("ranks")
@pytest.mark.skipif(not (sys.platform == "linux" and os.geteuid() == 0), reason="only root may mount a small disk")
def test_a_disk_that_is_full_on_the_rank_that_writes_ends_all_and_spoils_nothing(data: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Room for the checkpoint that is kept and the one being written; then another program takes some of it.
    taking = 'while ! [ -d "$DISK/run/checkpoints/00000008" ]; do sleep 0.1; done; head -c 9m /dev/zero > "$DISK/other"'
    script = f'mount -t tmpfs -o size=10m tmpfs "$DISK" || exit 77; ({taking}) 2>/dev/null & "$@"; code=$?; '
    script += 'kill $! 2>/dev/null; cp -r "$DISK/run" "$KEPT"; exit $code'
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *start, *settings(data, disk / "run")],
        env={**environment, "DISK": str(disk), "KEPT": str(tmp_path / "run")},
        capture_output=True, text=True, cwd=ROOT, timeout=300,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets not even root mount")
    assert done.returncode == 1, done.stderr
    assert "scratchlm: " in done.stderr
    assert "disk is full" in done.stderr
    assert "src/scratchlm" not in done.stderr  # torchrun has a traceback of its own
    on(1, "-m", "scratchlm", "pretrain", "--resume", str(tmp_path / "run"), "--allow-changes", "--data", str(data))
    assert len(losses(tmp_path / "run")) == 24


FROZEN = """
import os, signal, sys, time
from torch.distributed import TCPStore
from scratchlm.training.watchdog import Pulse, watched

rank = int(sys.argv[1])
store = TCPStore("127.0.0.1", int(sys.argv[2]), 2, is_master=rank == 0)
with watched(store, rank, 2, Pulse(), silence=3.0):
    time.sleep(2)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
"""


@pytest.mark.xdist_group("ranks")
def test_a_frozen_rank_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", FROZEN, str(rank), port], stderr=subprocess.PIPE, text=True, env=environment
        )
        for rank in (0, 1)
    ]
    _, told = ranks[0].communicate(timeout=60)
    ranks[1].kill()
    ranks[1].communicate()
    assert ranks[0].returncode == 1
    assert "scratchlm: rank 0: no sign of life from rank 1 for 3 s; resume the run" in told


HANGING = """
import os, sys, time
from scratchlm.cli import main
from scratchlm.training import watchdog
from scratchlm.training.loop import Loop

watchdog.HANGING = 3.0
watchdog.TIMES = 1.0
usual = Loop.train_step

def never_ends(loop, batch):
    while loop.step == 12 and os.environ["RANK"] == "1":
        time.sleep(0.1)
    return usual(loop, batch)

Loop.train_step = never_ends
main(sys.argv[1:])
"""


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_rank_that_hangs_in_a_step_is_named(data: Path, tmp_path: Path, sharding: str) -> None:
    (tmp_path / "hanging.py").write_text(HANGING, encoding="utf-8")
    script = [str(tmp_path / "hanging.py"), *settings(data, tmp_path / "run")[2:], "--sharding", sharding]
    started = time.monotonic()
    told = on(2, *script, fails=True)
    assert time.monotonic() - started < 120
    assert re.search("scratchlm: rank [01]: the others have waited for rank 1 for [0-9]+ s", told), told
    assert (tmp_path / "run" / "checkpoints" / "00000008").exists()


def test_only_one_rank_that_all_others_wait_for_hangs() -> None:
    hanging = watchdog.Hanging()
    elsewhere, computes, waits = watchdog.ELSEWHERE, watchdog.COMPUTES, watchdog.WAITS
    assert hanging.look([computes, waits, waits], 10.0) == 0.0
    assert hanging.look([computes, waits, waits], 14.0) == 4.0
    assert hanging.look([computes, computes, waits], 15.0) == 0.0
    assert hanging.look([waits, computes, waits], 16.0) == 0.0
    assert hanging.look([waits, computes, waits], 18.0) == 2.0
    assert hanging.look([elsewhere, computes, waits], 19.0) == 0.0  # the first evaluates
    assert hanging.look([waits, waits, waits], 30.0) == 0.0


def test_a_pulse_tells_a_thread_that_computes_from_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse, seen = watchdog.Pulse(), []
    assert pulse.state() == watchdog.ELSEWHERE
    assert pulse.limit == watchdog.FIRST
    with pulse.step():
        looking = threading.Thread(target=lambda: seen.extend((pulse.state(), pulse.place())))
        looking.start()
        looking.join()
        monkeypatch.setattr(watchdog, "WAITING", (threading.__file__,))
        waiting = threading.Thread(target=lambda: seen.append(pulse.state()))
        waiting.start()
        waiting.join()
    assert seen[0] == watchdog.COMPUTES
    assert "threading.py" in seen[1]  # where this thread waited for the other to end
    assert seen[2] == watchdog.WAITS
    assert pulse.limit == watchdog.HANGING
