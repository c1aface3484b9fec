"""Many clients at one server: whether all answers are right and whole, throughput holds, and memory stays.

    python -m bench.serving.load MODEL [CLIENTS SECONDS]

Each client asks again and again, one of `KINDS` of requests by turns, and compares each answer with the one that the
same request got before, alone. A refusal with status 429 or 503 counts as an answer; the client then waits a moment.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench.store import write

CLIENTS, SECONDS, WINDOW = 200, 60.0, 5.0
SOAK = 300.0
"""Seconds from which a run is stored as a soak."""
CACHE_MIB = 256
"""MiB of the KV cache: small, so that it is full after some seconds and further growth would be a leak."""
KINDS = 24
WAIT = 0.05
"""Seconds that a client waits after a refusal."""


@dataclass
class Seen:
    """What the clients saw."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    """Seconds to the first token."""
    whole: list[float] = field(default_factory=list)
    """Seconds to the last."""
    tokens: int = 0
    """Tokens of the answers."""
    pieces: list[float] = field(default_factory=list)
    """When a piece of an answer came, which is a token or a few."""
    memory: list[float] = field(default_factory=list)
    """MiB of the server, once a second."""


def request(kind: int) -> dict[str, Any]:
    """Return one kind of request: lengths, temperatures and seeds differ."""
    return {
        "prompt": f"Once upon a time number {kind} " + "the fox found a key. " * (kind % 5),
        "max_tokens": 8 + 7 * (kind % 6),
        "temperature": 0.0 if kind % 2 else 0.9,
        "seed": kind,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def ask(client: httpx.AsyncClient, body: dict[str, Any], pieces: list[float]) -> tuple[int, str, int, float]:
    """Return status, text, tokens and the seconds to the first token of one answer; note when its pieces come."""
    started, first, text, tokens, ended = time.perf_counter(), 0.0, "", 0, False
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        if answer.status_code != 200:
            await answer.aread()
            return answer.status_code, "", 0, 0.0
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                ended = True
            elif line.startswith("data: "):
                part = json.loads(line[6:])
                pieces.append(time.perf_counter())
                first = first or pieces[-1] - started
                text += "".join(choice["text"] for choice in part.get("choices", []))
                tokens = part["usage"]["completion_tokens"] if part.get("usage") else tokens
    return 200 if ended else 0, text, tokens, first


async def one_client(
    number: int, client: httpx.AsyncClient, name: str, right: list[str], end: float, seen: Seen
) -> None:
    """Ask until the time is over."""
    turn = number
    while time.perf_counter() < end:
        kind = turn % KINDS
        started = time.perf_counter()
        status, text, tokens, first = await ask(client, {"model": name, **request(kind)}, seen.pieces)
        if status in (429, 503):
            seen.refused[status] += 1
            await asyncio.sleep(WAIT)
            continue
        turn += 1
        seen.answers += 1
        seen.first.append(first)
        seen.whole.append(time.perf_counter() - started)
        seen.tokens += tokens
        if status != 200 or text != right[kind]:
            seen.wrong.append(f"kind {kind}, status {status}: {text[:60]!r} is not {right[kind][:60]!r}")


async def watch(process: psutil.Process, end: float, seen: Seen) -> None:
    """Note the memory of the server once a second."""
    while time.perf_counter() < end:
        seen.memory.append(process.memory_info().rss / 1024**2)
        await asyncio.sleep(1.0)


async def load(url: str, name: str, process: psutil.Process, clients: int, seconds: float) -> tuple[Seen, float]:
    """Return what the clients saw, and when they began."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        right = []
        for kind in range(KINDS):
            status, text, _, _ = await ask(client, {"model": name, **request(kind)}, [])
            assert status == 200, status
            right.append(text)
        seen, began = Seen(), time.perf_counter()
        end = began + seconds
        await asyncio.gather(
            watch(process, end, seen), *(one_client(each, client, name, right, end, seen) for each in range(clients))
        )
    return seen, began


def summary(seen: Seen, began: float, clients: int, seconds: float) -> dict[str, Any]:
    """Return the numbers of a run."""

    def quantile(values: Sequence[float], share: float) -> float:
        return round(sorted(values)[int(share * (len(values) - 1))], 4) if values else 0.0

    windows = Counter(int((at - began) / WINDOW) for at in seen.pieces)
    rates = [windows[number] / WINDOW for number in range(1, int(seconds / WINDOW))]  # the first one warms up
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": seen.answers,
        "wrong": len(seen.wrong),
        "refused": dict(seen.refused),
        "tokens_per_second": round(seen.tokens / seconds, 1),
        "pieces_per_second": [round(rate) for rate in rates],
        "least_of_peak": round(min(rates) / max(rates), 3) if rates else 0.0,
        "first_token_seconds": {"median": quantile(seen.first, 0.5), "p99": quantile(seen.first, 0.99)},
        "answer_seconds": {"median": quantile(seen.whole, 0.5), "most": quantile(seen.whole, 1.0)},
        "memory_mib": {"after_10_s": quantile(seen.memory[10:11], 0), "last": quantile(seen.memory[-1:], 0)},
        "examples_of_wrong": seen.wrong[:3],
    }


def main(arguments: Sequence[str]) -> None:
    """Start a server, load it, print and store the numbers; exit with 1 where an answer was wrong."""
    model = Path(arguments[0])
    clients, seconds = (int(arguments[1]), float(arguments[2])) if len(arguments) > 1 else (CLIENTS, SECONDS)
    command = [sys.executable, "-m", "scratchlm", "serve", f"model={model}", "--port", "0"]
    command += ["--cache-mib", str(CACHE_MIB)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = next(each for each in server.stderr if "http://" in each)
        found = re.search(r"(http://[\d.]+:\d+)/v1", line)
        assert found is not None, line
        drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
        try:
            process = psutil.Process(server.pid)
            result = summary(*asyncio.run(load(found[1], "model", process, clients, seconds)), clients, seconds)
        finally:
            server.terminate()
            server.wait()
            drain.wait()
    print(json.dumps(result, indent=1))
    write(
        "serving/load" if seconds < SOAK else "serving/soak", {"task": f"{clients} clients for {seconds:g} s", **result}
    )
    if result["wrong"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
