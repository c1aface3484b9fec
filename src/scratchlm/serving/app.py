"""The application: which path is answered by what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse

from scratchlm.serving import chat, classes, completions, embeddings
from scratchlm.serving.connections import Connections
from scratchlm.serving.errors import CLOSED, HANDLERS, ApiError, ErrorAnswer
from scratchlm.serving.grammars import GrammarCompiler
from scratchlm.serving.limits import Gate, Guard, Limits
from scratchlm.serving.metrics import Metrics
from scratchlm.serving.models import Served, find
from scratchlm.serving.pages import FILES, add_page
from scratchlm.serving.schemas import ChatRequest, ClassifyRequest, CompletionRequest, EmbeddingRequest
from scratchlm.serving.worker import Worker

WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": says}
    for status, says in {
        400: "A request that cannot be answered as it is.",
        401: "The key is missing or wrong.",
        403: "The server is called by a name that is not its own, or by another site's page.",
        404: "A model that is not served.",
        408: "The request came too slowly.",
        413: "The body is too large.",
        429: "Too many texts wait already.",
        500: "The server failed.",
        503: "The server is shutting down, or its engine is stuck.",
    }.items()
}
WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, or with `stream` its parts.", "content": {"text/event-stream": {}}}
}
PLAIN: dict[int | str, dict[str, Any]] = {200: {"description": "Counts.", "content": {"text/plain": {}}}}
PATHS = frozenset(
    {
        "/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/classify", "/health",
        "/metrics", "/openapi.json", *FILES,
    }
)  # fmt: skip
"""Paths that the metrics count by name; all others are counted together."""


def create_app(models: Mapping[str, Served], worker: Worker, limits: Limits, connections: Connections) -> FastAPI:
    """Return the application that answers for models by a worker, which it starts and stops."""
    metrics = Metrics(models, worker)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    app = FastAPI(
        title="scratchlm", description="OpenAI's API for models of this machine.", lifespan=lifespan, docs_url=None,
        redoc_url=None, exception_handlers=HANDLERS,
    )  # fmt: skip
    _add_writing(app, models, worker)
    _add_state(app, models, worker, metrics)
    add_page(app)
    app.add_middleware(Gate, limits=limits)
    app.add_middleware(  # for the pages that `Guard` lets pass; what the gate refuses must be readable to them
        CORSMiddleware, allow_origin_regex=".*", allow_methods=["GET", "POST"], allow_headers=["*"],
        expose_headers=["Retry-After"], allow_private_network=True,
    )  # fmt: skip
    app.add_middleware(Guard, limits=limits, metrics=metrics, paths=PATHS, connections=connections)
    app.openapi = lambda: _described(app, list(models))  # type: ignore[method-assign]
    return app


def _add_writing(app: FastAPI, models: Mapping[str, Served], worker: Worker) -> None:
    """Add the paths that compute with a model."""
    compiler = GrammarCompiler()

    @app.post("/v1/completions", responses=WRITTEN | WRONG)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        """Continue one or more texts."""
        return await completions.complete(body, find(models, body.model), worker, compiler, request)

    @app.post("/v1/chat/completions", responses=WRITTEN | WRONG)
    async def answer(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        return await chat.answer(body, find(models, body.model), worker, compiler, request)

    @app.post("/v1/embeddings", responses=WRONG)
    async def embed(body: EmbeddingRequest, request: Request) -> Response:
        """Turn texts into vectors."""
        return await embeddings.embed(body, find(models, body.model), worker, request)

    @app.post("/v1/classify", responses=WRONG)
    async def label(body: ClassifyRequest, request: Request) -> Response:
        """Put texts into the classes of a classifier."""
        return await classes.label(body, find(models, body.model), worker, request)


def _add_state(app: FastAPI, models: Mapping[str, Served], worker: Worker, metrics: Metrics) -> None:
    """Add the paths that report health and counts."""

    def entry(served: Served) -> dict[str, Any]:
        about = {"id": served.name, "object": "model", "created": served.created, "owned_by": "scratchlm"}
        return about | {"context": served.context, "chat": served.template is not None}

    @app.get("/v1/models", responses={401: WRONG[401], 403: WRONG[403]})
    async def list_models() -> Response:
        """Return the models that are served."""
        return JSONResponse({"object": "list", "data": [entry(each) for each in models.values()]})

    @app.get("/v1/models/{model}", responses={401: WRONG[401], 403: WRONG[403], 404: WRONG[404]})
    async def show_model(model: str) -> Response:
        """Return one model."""
        return JSONResponse(entry(find(models, model)))

    @app.get("/health", responses={403: WRONG[403], 503: WRONG[503]})
    async def health() -> Response:
        """Return whether requests are answered."""
        if worker.refusing:
            raise ApiError(503, CLOSED)
        if seconds := worker.stalled:
            raise ApiError(503, f"the engine has not moved on for {seconds:.0f} s; restart the server if this lasts")
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", responses=PLAIN | {401: WRONG[401], 403: WRONG[403]}, response_class=PlainTextResponse)
    async def show_metrics() -> Response:
        """Return what was counted, for Prometheus."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


def _described(app: FastAPI, names: Sequence[str]) -> dict[str, Any]:
    """Return the description of the API, with the models that are served.

    Wrong requests are answered with 400, as OpenAI's API does, and not with FastAPI's 422.
    """
    described = FastAPI.openapi(app)
    for path in described["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for parameter in (each for each in operation.get("parameters", []) if each["name"] == "model"):
                parameter["schema"]["enum"] = list(names)
    for schema in described["components"]["schemas"].values():
        if "model" in schema.get("properties", {}):
            schema["properties"]["model"]["enum"] = list(names)
    return described
