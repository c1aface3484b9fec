"""Where trials are trained: in processes of this machine, or by Ray on several."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from scratchlm.base.cluster import joined_ray
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.memory import keep_freed_memory
from scratchlm.base.waiting import wait_briefly
from scratchlm.pretraining.config import PretrainConfig

Train = Callable[[PretrainConfig], object]
"""Trains a run; a function at the top of a module, which other processes find by its name."""


class Runner(Protocol):
    """Trains trials, several at a time."""

    threads: float
    """Threads that all trials together may have at a time."""

    def start(self, config: PretrainConfig, threads: int, log: Path) -> Future[None]:
        """Train a run, or go on with it; what it prints goes into a file. The future raises what made it fail."""

    def stop(self) -> None:
        """Ask all that runs to save and to end."""


class Local:
    """Each trial in a process of this machine."""

    def __init__(self, train: Train, threads: int) -> None:
        self.train, self.threads = train, float(threads)
        self.waiters = ThreadPoolExecutor(threads)
        way = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self.context: Any = multiprocessing.get_context(way)
        if way == "forkserver":
            self.context.set_forkserver_preload([train.__module__])  # PyTorch is imported once, not for every trial
        self.processes: list[multiprocessing.process.BaseProcess] = []

    def start(self, config: PretrainConfig, threads: int, log: Path) -> Future[None]:
        """Start a process."""
        process = self.context.Process(target=_work, args=(self.train, config, log))
        process.start()
        self.processes = [*(each for each in self.processes if each.is_alive()), process]
        return self.waiters.submit(_ended, process, log)

    def stop(self) -> None:
        """Send each process the signal that it saves and ends at."""
        for process in self.processes:
            process.terminate()


def _work(train: Train, config: PretrainConfig, log: Path) -> None:
    """Train a run in this process, which ends with its parent."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is the parent's: it asks once, and a second time would end the run unsaved
    keep_freed_memory()
    wait_briefly()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    try:
        train(config)
    except (UserError, Interrupted) as error:
        print(f"scratchlm: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _ended(process: multiprocessing.process.BaseProcess, log: Path) -> None:
    process.join()
    if process.exitcode:
        how = f"killed by signal {-process.exitcode}, perhaps for want of memory"
        raise UserError(_last_line(log) if process.exitcode > 0 else how)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("scratchlm: ") if lines else "ended without a word"


class TrainOnRay:
    """Each trial as a task of a Ray cluster, whose machines see the same files; without one, of this machine."""

    threads = math.inf  # Ray decides how many run at a time

    def __init__(self, train: Train) -> None:
        self.train, self.ray = train, joined_ray("--sweep-on")
        self.tasks: list[Any] = []

    def start(self, config: PretrainConfig, threads: int, log: Path) -> Future[None]:
        """Hand the run to Ray."""
        task = self.ray.remote(_task).options(num_cpus=threads, max_retries=0).remote(self.train, config)
        self.tasks.append(task)
        future: Future[None] = task.future()
        return future

    def stop(self) -> None:
        """Interrupt all tasks."""
        for task in self.tasks:
            self.ray.cancel(task)


def _task(train: Train, config: PretrainConfig) -> None:
    try:
        train(config)
    except UserError as error:  # of which Ray would send the whole trace
        raise UserError(str(error)) from None
