"""What a server counts, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from scratchlm.generation.engine import Engine
from scratchlm.serving.models import Served
from scratchlm.serving.worker import Worker

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Limits of the histograms' classes."""


class Metrics:
    """The counts of one server."""

    def __init__(self, models: Mapping[str, Served], worker: Worker) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("scratchlm_requests", "HTTP requests.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "scratchlm_request_seconds", "Seconds from a request to the end of its answer.", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.first = Histogram(
            "scratchlm_first_byte_seconds", "Seconds from a request to the first byte of its answer.", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.read = Gauge("scratchlm_read_tokens", "Prompt tokens computed.", ["model"], registry=self.registry)
        self.written = Gauge("scratchlm_written_tokens", "Tokens written.", ["model"], registry=self.registry)
        self.running = Gauge("scratchlm_running_texts", "Texts being written.", ["model"], registry=self.registry)
        self.waiting = Gauge("scratchlm_waiting_texts", "Texts that wait.", ["model"], registry=self.registry)
        self.held = Gauge("scratchlm_used_blocks", "Blocks of the cache in use.", ["model"], registry=self.registry)
        for name, served in models.items():
            self._follow(name, served.engine)
        at_work = Gauge("scratchlm_texts", "Texts that the server has, written or waiting.", registry=self.registry)
        at_work.set_function(lambda: len(worker.tickets))

    def _follow(self, name: str, engine: Engine) -> None:
        """Report an engine as it is when the counts are asked for."""
        self.read.labels(name).set_function(lambda: engine.tokens_read)
        self.written.labels(name).set_function(lambda: engine.tokens_written)
        self.running.labels(name).set_function(lambda: len(engine.running))
        self.waiting.labels(name).set_function(lambda: len(engine.waiting))
        self.held.labels(name).set_function(lambda: engine.blocks.count - engine.pool.available)

    def exposition(self) -> bytes:
        """Return all counts as text."""
        return generate_latest(self.registry)
