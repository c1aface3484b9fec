"""The files of launch/ start what they say: tried with stand-ins for the cluster's own commands, or on a local one."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from scratchlm.base.runfolder import Train, read_log
from scratchlm.commands import COMMANDS
from scratchlm.data.prepare import prepare
from scratchlm.tokens.config import PrepareConfig

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
SMALL = ["--training.steps", "6", "--training.batch-size", "4", "--training.sequence-length", "16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "data"
    prepare(PrepareConfig(("storyworld:100KB",), out=folder, vocabulary_size=400))
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **more}


def steps(run: Path) -> list[int]:
    return [record.step for record in read_log(run / "metrics.jsonl") if isinstance(record, Train)]


def test_the_kubernetes_job_runs_a_command_that_there_is() -> None:
    job = yaml.safe_load((LAUNCH / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    trainer = job["spec"]["trainer"]
    assert trainer["command"][-2:] == ["-m", "scratchlm"]
    assert trainer["args"][0] == "pretrain"
    config = COMMANDS["pretrain"].from_arguments(trainer["args"][1:])
    (patch,) = job["spec"]["runtimePatches"]
    (part,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = part["template"]["spec"]["template"]["spec"]
    mount = pod["containers"][0]["volumeMounts"][0]
    assert mount["name"] == pod["volumes"][0]["name"]
    assert [str(path).startswith(mount["mountPath"]) for path in (*config.data, config.out)] == [True, True]


@pytest.mark.skipif(importlib.util.find_spec("kubeflow_trainer_api") is None, reason="needs kubeflow-trainer-api")
def test_the_kubernetes_job_is_one_by_kubeflows_own_description() -> None:
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

    job = yaml.safe_load((LAUNCH / "kubernetes.yaml").read_text(encoding="utf-8"))
    read = TrainerV1alpha1TrainJob.from_dict(job)
    assert read.to_dict() == job  # which leaves out what it does not know


def slurm(data: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start the script in a job whose commands are stand-ins."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    stand_ins = {
        "scontrol": 'echo "127.0.0.1"',  # show hostnames LIST
        "srun": 'exec "$@"',
        "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
    }
    for name, line in stand_ins.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "one", "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_ID": "7"}
    place = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "RANKS": "2"}
    command = ["bash", str(LAUNCH / "slurm.sh"), str(data), str(folder / "run"), "--depth", "2", *SMALL, *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(**job, **place)
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("ranks")
@pytest.mark.skipif(sys.platform != "linux", reason="gloo's ranks are tried on Linux")
def test_the_slurm_script_saves_where_its_time_runs_out_and_goes_on(data: Path, tmp_path: Path) -> None:
    often = ["--training.steps", "300", "--training.log-every", "1", "--training.checkpoint-every", "100"]
    job = slurm(data, tmp_path, *often)
    log = tmp_path / "run" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (log.exists() and len(steps(tmp_path / "run")) > 20) and time.monotonic() < until:
        time.sleep(0.05)
    (torchrun,) = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(torchrun), signal.SIGTERM)  # as SLURM does to the steps of a job
    told, _ = job.communicate(timeout=120)
    (stopped,) = re.findall("stopped after step ([0-9]+) of 300; everything is saved", told)
    assert 20 < int(stopped) < 300
    assert (tmp_path / "run" / "checkpoints" / f"{int(stopped):08d}").exists()
    for _ in range(2):  # the second goes on with a run that has ended
        job = slurm(data, tmp_path, *often)
        told, _ = job.communicate(timeout=300)
        assert job.returncode == 0, told
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
        assert (manifest["ranks"], manifest["threads"]) == (2, 1)
        assert steps(tmp_path / "run") == list(range(1, 301))


def workers_below(pid: int) -> list[int]:
    """Return the processes of Ray's workers that train, of all that a process has started."""
    found, parents = [], {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                status = (place / "status").read_text(encoding="utf-8")
                parents[int(place.name)] = int(re.findall(r"^PPid:\t([0-9]+)", status, flags=re.MULTILINE)[0])
                if b"TrainWorker" in (place / "cmdline").read_bytes():
                    found.append(int(place.name))

    def below(child: int) -> bool:
        return child == pid or (child in parents and below(parents[child]))

    return [worker for worker in found if below(worker)]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("ranks")
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found as Linux lists them")
def test_a_worker_of_ray_that_dies_is_replaced(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--depth", "2", "--threads", "1", "--training.log-every", "1", *SMALL]
    flags += ["--training.steps", "200", "--training.checkpoint-every", "20"]
    command = [sys.executable, str(LAUNCH / "on_ray.py"), "2", "pretrain", "default"]
    with (tmp_path / "said").open("wb") as said:
        trainer = subprocess.Popen(
            [*command, "--data", str(data), "--out", str(run), *flags], stdout=said, stderr=said, env=environment()
        )
    until = time.monotonic() + 200
    while not (run / "checkpoints" / "00000040").exists() and trainer.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    workers = workers_below(trainer.pid)
    assert len(workers) == 2, (tmp_path / "said").read_text(errors="replace")
    os.kill(workers[-1], signal.SIGKILL)
    assert trainer.wait(300) == 0, (tmp_path / "said").read_text(errors="replace")
    assert steps(run) == list(range(1, 201))
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ranks"] == 2
    assert "changes" not in manifest
