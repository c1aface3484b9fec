"""Ranks that never come, die, freeze, hang or cannot write are named; what was saved goes on."""

from __future__ import annotations

import os
import re
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
from scratchlm.training.distributed import ranks as joining
from scratchlm.training.distributed import watchdog
from training.torchrun import ROOT, losses, on, prepared, settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="gloo's ranks are tried on Linux")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def two(data: Path) -> Path:
    """A run on two ranks."""
    on(2, *settings(data, data.parent / "two"))
    return data.parent / "two"


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
from scratchlm.training.distributed.watchdog import Heartbeat, watched

rank = int(sys.argv[1])
store = TCPStore("127.0.0.1", int(sys.argv[2]), 2, is_master=rank == 0)
with watched(store, rank, 2, Heartbeat(), silence=3.0):
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
from scratchlm.model.feedforward import SwiGLU
from scratchlm.training.distributed import watchdog
from scratchlm.training.loop import Loop

watchdog.HANGING = 3.0
watchdog.TIMES = 1.0
where, step, forward, now = sys.argv.pop(1), Loop.train_step, SwiGLU.forward, []

def never_ends(inside):
    while inside == where and now == [12] and os.environ["RANK"] == "1":
        time.sleep(0.1)

def taken(loop, batch):
    now[:] = [loop.step]
    never_ends("step")
    return step(loop, batch)

def passed(layer, x):
    never_ends("forward")
    return forward(layer, x)

Loop.train_step, SwiGLU.forward = taken, passed
main(sys.argv[1:])
"""


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize(("where", "sharding"), [("step", "none"), ("forward", "full")])
def test_a_rank_that_hangs_in_a_step_is_named(data: Path, tmp_path: Path, where: str, sharding: str) -> None:
    (tmp_path / "hanging.py").write_text(HANGING, encoding="utf-8")
    script = [str(tmp_path / "hanging.py"), where, *settings(data, tmp_path / "run")[2:], "--sharding", sharding]
    started = time.monotonic()
    told = on(2, *script, fails=True)
    assert time.monotonic() - started < 120
    assert re.search(
        "scratchlm: rank 1: the others have waited for it for [0-9]+ s; it hangs in .*hanging.py, line [0-9]+, "
        "never_ends; resume the run",
        told,
    ), told
    assert (tmp_path / "run" / "checkpoints" / "00000008").exists()


def test_only_one_rank_that_all_others_wait_for_in_one_step_hangs() -> None:
    hanging = watchdog.Hanging()
    elsewhere, computes, waits = watchdog.ELSEWHERE, watchdog.COMPUTES, watchdog.WAITS
    assert hanging.look([computes, waits, waits], 7, 10.0) == 0.0
    assert hanging.look([computes, waits, waits], 7, 14.0) == 4.0
    assert hanging.look([computes, computes, waits], 7, 15.0) == 0.0
    assert hanging.look([waits, computes, waits], 7, 16.0) == 0.0
    assert hanging.look([waits, computes, waits], 7, 18.0) == 2.0
    assert hanging.look([waits, computes, waits], 8, 19.0) == 0.0  # the next step, so it came to its end
    assert hanging.look([waits, computes, waits], 8, 22.0) == 3.0
    assert hanging.look([waits, computes, waits], 8, 922.0) == 0.0  # the whole job was suspended meanwhile
    assert hanging.look([elsewhere, computes, waits], 8, 923.0) == 0.0  # the first evaluates
    assert hanging.look([waits, waits, waits], 8, 924.0) == 0.0
    assert watchdog.Hanging().look([computes], 1, 1.0) == 0.0


def test_a_heartbeat_tells_a_thread_that_computes_from_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat, seen = watchdog.Heartbeat(), []
    assert heartbeat.state() == watchdog.ELSEWHERE
    with heartbeat.step():
        looking = threading.Thread(target=lambda: seen.extend((heartbeat.state(), heartbeat.place())))
        looking.start()
        looking.join()
        monkeypatch.setattr(watchdog, "WAITING", (threading.__file__,))
        waiting = threading.Thread(target=lambda: seen.append(heartbeat.state()))
        waiting.start()
        waiting.join()
    assert seen[0] == watchdog.COMPUTES
    assert "threading.py" in seen[1]  # where this thread waited for the other to end
    assert seen[2] == watchdog.WAITS
    assert heartbeat.steps == 1
    assert heartbeat.longest > 0


TWICE = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]


@pytest.mark.xdist_group("ranks")
def test_what_was_refused_is_refused_again_where_torchrun_starts_anew(data: Path, tmp_path: Path) -> None:
    on(1, *settings(data, tmp_path / "run"))
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    start = [sys.executable, *TWICE, "-m", "scratchlm", "pretrain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for given in (["--resume", str(tmp_path / "run")], settings(data, tmp_path / "run")[3:]):
        done = subprocess.run([*start, *given], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=200)
        assert done.returncode != 0, done.stdout
        refused = "would go on with 2" if "--resume" in given else "--force"
        assert done.stderr.count(refused) == 2, done.stderr
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
