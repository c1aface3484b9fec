"""A server as a user starts it: `scratchlm serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from openai import OpenAI

PATIENCE = 120


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)

    def post(self, path: str, body: object = None, **named: object) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=PATIENCE, **named)

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=PATIENCE).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{| )", line))

    def idle(self) -> bool:
        """Wait until nothing is written or held for half a second, a few seconds at most."""
        quiet = 0
        for _ in range(200):
            busy = self.metric("scratchlm_texts") or self.metric("scratchlm_used_blocks")
            quiet = 0 if busy else quiet + 1
            if quiet == 10:
                return True
            time.sleep(0.05)
        return False


@contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[Server]:
    """Serve until the block ends; then the server must end in peace."""
    command = [sys.executable, "-m", "scratchlm", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    server = Server(process, 0)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            server.log.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/v1", line):
                server.port = int(found[1])
                break
        reading = threading.Thread(target=lambda: server.log.extend(process.stderr or ()), daemon=True)
        reading.start()
        assert server.port, server.log
        _wait_for(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stderr and process.stderr.close()
    assert "Traceback" not in "".join(server.log), "".join(server.log)


def _wait_for(server: Server) -> None:
    for _ in range(200):
        try:
            if httpx.get(f"{server.url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("".join(server.log))
