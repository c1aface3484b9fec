"""`/v1/classify`: the labels of texts, by a classifier that is served. OpenAI's API has no such path."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from scratchlm.base.errors import UserError
from scratchlm.generation.classifier import LinearClassifier
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import ClassifyRequest
from scratchlm.serving.worker import Worker

AT_ONCE = 16
"""Texts that are classified before other requests have their turn."""


async def label(body: ClassifyRequest, served: Served, worker: Worker, request: Request) -> Response:
    """Answer a request. Raises `ApiError` for a model that has learned no classes, and for a text that is empty."""
    classifier = served.classifier
    if classifier is None:
        raise ApiError(400, f"model {served.name!r}: has learned no classes; serve a run of finetune classify")
    texts = [body.input] if isinstance(body.input, str) else body.input
    data: list[dict[str, Any]] = []
    for start in range(0, len(texts), AT_ONCE):
        if await request.is_disconnected():
            raise ApiError(499, "the client has left")
        part = texts[start : start + AT_ONCE]
        try:
            answers = await worker.run(lambda part=part: classifier.classify(part))  # type: ignore[misc]
        except UserError as error:
            raise ApiError(400, f"input, of the texts from {start + 1} on: {error}", param="input") from error
        data += [
            {"index": start + index, "label": each.label, "probabilities": each.probabilities}
            for index, each in enumerate(answers)
        ]
    used = "linear" if isinstance(classifier, LinearClassifier) else "network"
    return JSONResponse({"object": "list", "data": data, "model": served.name, "used": used})
