"""Two network namespaces are two machines to torchrun: one model is trained on both, and one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchlm.base.runfolder import Train, read_log
from scratchlm.data.prepare import prepare
from scratchlm.tokens.config import PrepareConfig

STEPS = 120
MACHINES = ("scratchlm-a", "scratchlm-b")
ADDRESSES = ("10.231.7.1", "10.231.7.2")
SIZES = f"--training.batch-size 6 --training.sequence-length 32 --training.steps {STEPS} --training.checkpoint-every 10"
FIXED = "--training.log-every 1 --training.evaluate-every 0 --dtype fp32 --threads 1 --seed 3"


def possible() -> bool:
    """Return whether this user may make network namespaces."""
    if sys.platform != "linux" or shutil.which("ip") is None or os.geteuid() != 0:
        return False
    probe = f"scratchlm-probe-{os.getpid()}"  # test processes ask at the same time
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return made


pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ranks"),
    pytest.mark.skipif(not possible(), reason="needs the right to make network namespaces"),
]


@pytest.fixture
def machines() -> Iterator[None]:
    """Two namespaces with a cable between them."""
    cable = [("link", "add", "cable-a", "type", "veth", "peer", "name", "cable-b")]
    for machine, end, address in zip(MACHINES, ("cable-a", "cable-b"), ADDRESSES, strict=True):
        inside = ("netns", "exec", machine, "ip")
        cable += [
            ("netns", "add", machine),
            ("link", "set", end, "netns", machine),
            (*inside, "address", "add", f"{address}/24", "dev", end),
            (*inside, "link", "set", end, "up"),
            (*inside, "link", "set", "lo", "up"),
        ]
    try:
        for line in cable:
            subprocess.run(["ip", *line], check=True, capture_output=True)
        yield
    finally:
        for machine in MACHINES:
            subprocess.run(["ip", "netns", "delete", machine], capture_output=True)


def command(data: Path, out: Path) -> list[str]:
    run = ["-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out)]
    return [*run, *SIZES.split(), *FIXED.split()]


def start(number: int, data: Path, out: Path, machines: str = "2") -> subprocess.Popen[bytes]:
    """Start the torchrun of a machine; of `machines`, so many must be there."""
    torchrun = ["-m", "torch.distributed.run", "--nnodes", machines, "--nproc-per-node", "1", "--max-restarts", "5"]
    # Both machines have one name here, so neither could tell from the endpoint which of them it is.
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29417", "--rdzv-id", "both"]
    meet += ["--rdzv-conf", f"is_host={int(number == 0)},keep_alive_interval=1,last_call_timeout=3"]
    inside = ["ip", "netns", "exec", MACHINES[number], sys.executable, *torchrun, *meet]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # or a machine that comes back gets no address
    environment["GLOO_SOCKET_IFNAME"] = f"cable-{'ab'[number]}"
    with out.with_suffix(f".{number}").open("ab") as said:
        return subprocess.Popen(
            [*inside, "--local-addr", ADDRESSES[number], *command(data, out)],
            stdout=said, stderr=said, env=environment,
        )  # fmt: skip


def kill_all(number: int) -> None:
    """Kill every process of a machine at once."""
    listed = subprocess.run(["ip", "netns", "pids", MACHINES[number]], capture_output=True, text=True)
    for pid in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def losses(run: Path) -> list[float]:
    return [float(record.loss) for record in read_log(run / "metrics.jsonl") if isinstance(record, Train)]


def kill_second_at(checkpoint: Path, both: list[subprocess.Popen[bytes]]) -> None:
    """Wait for a checkpoint, and kill the second machine."""
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.02)
    kill_all(1)
    both[1].wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared text, and beside it the same run on one process."""
    folder = tmp_path_factory.mktemp("data")
    prepare(PrepareConfig(("storyworld:100KB",), out=folder / "data", vocabulary_size=400))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    alone = command(folder / "data", folder / "alone")
    subprocess.run([sys.executable, *alone], check=True, env=environment, timeout=300)
    return folder / "data"


def test_a_machine_that_was_killed_comes_back_and_the_run_goes_on(machines: None, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    both = [start(number, data, out) for number in (0, 1)]
    try:
        kill_second_at(out / "checkpoints" / "00000050", both)
        time.sleep(8)  # as long as torchrun takes to believe it
        both[1] = start(1, data, out)
        for torchrun in both:
            assert torchrun.wait(240) == 0, out.with_suffix(".0").read_text() + out.with_suffix(".1").read_text()
    finally:
        kill_all(0)
        kill_all(1)
    assert losses(out) == pytest.approx(losses(data.parent / "alone"), abs=2e-4)
    assert len(losses(out)) == STEPS


def test_a_run_goes_on_without_a_machine_that_stays_away(machines: None, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    both = [start(number, data, out, machines="1:2") for number in (0, 1)]
    try:
        kill_second_at(out / "checkpoints" / "00000050", both)
        assert both[0].wait(240) == 0, out.with_suffix(".0").read_text()
    finally:
        kill_all(0)
        kill_all(1)
    assert losses(out) == pytest.approx(losses(data.parent / "alone"), abs=2e-4)
    assert len(losses(out)) == STEPS
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ranks"] == 1
    assert [each["changed"] for each in manifest["changes"]] == [["ranks 2 to 1"]]
