"""Errors as OpenAI's API writes them: a status, and a message that names the value, the limit and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

from scratchlm.base.errors import UserError
from scratchlm.base.terminal import one_line

KIND = re.compile(r"str|int|float|bool|constrained-.*|(?:list|dict|function-\w+|nullable|union)\[.*")
CLOSED = "the server is shutting down; ask again when it is back"
FAILED = "the server failed to compute this answer; its log says why"
SHOWN = 5
"""Problems of one request that are listed; of more, their number."""


class ErrorBody(BaseModel):
    """What is wrong with a request."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of an answer that is no success."""

    error: ErrorBody


class ApiError(HTTPException):
    """An answer that is no success. FastAPI lets an `HTTPException` pass where it reads a body, and nothing else."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(status, message)
        self.status, self.code, self.param = status, code, param

    def answer(self) -> JSONResponse:
        """Return the answer."""
        headers = {"Retry-After": "1"} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)

    def body(self) -> dict[str, Any]:
        """Return the body of the answer."""
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}


KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "overloaded_error"}
"""OpenAI's types of errors."""


async def api_error(_: Request, error: Exception) -> JSONResponse:
    """Answer with an error of the API."""
    assert isinstance(error, ApiError)
    return error.answer()


async def user_error(_: Request, error: Exception) -> JSONResponse:
    """Answer with a mistake in the request that was found below the API."""
    return ApiError(400, str(error)).answer()


async def wrong_request(_: Request, error: Exception) -> JSONResponse:
    """Answer a body that is no JSON, or has wrong fields, with all that is wrong."""
    assert isinstance(error, RequestValidationError)
    problems = list(dict.fromkeys(_line(each) for each in error.errors()))
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    places = [_place(each["loc"]) for each in error.errors() if each["type"] != "json_invalid"] or [""]
    return ApiError(400, "; ".join([*problems[:SHOWN], *more]), param=places[0] or None).answer()


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer for a path or a method that is not there."""
    assert isinstance(error, AnyHTTPException)
    path = one_line(request.url.path[:100])
    messages = {404: f"{path}: is not there; GET /openapi.json lists what is", 405: f"{path}: takes another method"}
    answer = ApiError(error.status_code, messages.get(error.status_code, str(error.detail))).answer()
    answer.headers.update(error.headers or {})
    return answer


HANDLERS: dict[Any, Any] = {
    ApiError: api_error,
    UserError: user_error,
    RequestValidationError: wrong_request,
    AnyHTTPException: http_error,
}


def _line(problem: dict[str, Any]) -> str:
    place = _place(problem["loc"])
    if problem["type"] == "json_invalid":
        return "the body is no JSON: correct it"
    message = str(problem["msg"])
    value = problem.get("input")
    shown = "" if problem["type"] == "missing" or isinstance(value, dict | list) else f" is {_brief(value)}:"
    return f"{place or 'the body'}{shown} {message[0].lower()}{message[1:]}"


def _place(places: Sequence[int | str]) -> str:
    """Return the dotted place of a field, without the kinds of value that pydantic names where several may stand."""
    return ".".join(str(each) for each in places if each != "body" and not KIND.fullmatch(str(each)))


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
