"""The thread that computes, where it no longer moves on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fastapi.testclient import TestClient

from scratchlm.serving import worker as worker_module
from scratchlm.serving.app import create_app
from scratchlm.serving.connections import Connections
from scratchlm.serving.limits import Limits
from scratchlm.serving.origins import Origins
from scratchlm.serving.worker import Worker


def test_health_says_that_the_engine_is_stuck_and_that_it_moves_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STALLED", 0.2)
    worker, go_on = Worker([], 4), threading.Event()
    app = create_app({}, worker, Limits(1000, 30.0, Origins("127.0.0.1"), log=False), Connections(30.0))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/health").status_code == 200
        blocking = threading.Thread(target=lambda: asyncio.run(worker.run(go_on.wait)))
        blocking.start()
        while (answer := client.get("/health")).status_code == 200:
            time.sleep(0.01)
        assert answer.status_code == 503
        assert "the engine has not moved on for" in answer.json()["error"]["message"]
        go_on.set()
        blocking.join()
        while client.get("/health").status_code == 503:
            time.sleep(0.01)
        assert client.get("/health").json() == {"status": "ok"}
