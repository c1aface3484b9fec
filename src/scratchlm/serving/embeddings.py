"""`/v1/embeddings`: the mean of a text's last hidden states, scaled to length 1.

A decoder that was trained to write is a plain reader: its vectors distinguish texts of unlike topics, and fall
behind those of models that were trained for it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from jaxtyping import Float
from torch import Tensor

from scratchlm.model.decoder import Decoder
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import EmbeddingRequest
from scratchlm.serving.worker import Worker


async def embed(body: EmbeddingRequest, served: Served, worker: Worker, request: Request) -> Response:
    """Answer a request. Raises `ApiError`."""
    texts = await asyncio.to_thread(_texts, body, served)
    data: list[dict[str, Any]] = []
    for index, ids in enumerate(texts):
        if await request.is_disconnected():
            raise ApiError(499, "the client has left")
        vector = (await worker.run(lambda ids=ids: embedding(served.engine.decoder, ids))).tolist()  # type: ignore[misc]
        coded = vector if body.encoding_format != "base64" else _coded(vector)
        data.append({"object": "embedding", "index": index, "embedding": coded})
    read = sum(map(len, texts))
    usage = {"prompt_tokens": read, "total_tokens": read}
    return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": usage})


@torch.no_grad()
def embedding(decoder: Decoder, ids: Sequence[int]) -> Float[Tensor, " D"]:
    """Return the vector of a text of at least one token."""
    decoder.eval()
    hidden = decoder.hidden(torch.tensor([list(ids)], device=decoder.device))[0].float()
    return torch.nn.functional.normalize(hidden.mean(0), dim=0).cpu()


def _texts(body: EmbeddingRequest, served: Served) -> list[list[int]]:
    return [served.require_room(served.ids(each), "input") for each in body.input]


def _coded(vector: Sequence[float]) -> str:
    """Return a vector as little-endian fp32 in base64."""
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode("ascii")
