"""The page at `/`: a conversation in a browser. It loads nothing from elsewhere, and its policy forbids it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Response

FOLDER = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""The file and type of each path; they hold no secrets and need no key."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_page(app: FastAPI) -> None:
    """Add the page's paths."""
    for path, (name, kind) in FILES.items():
        app.add_api_route(path, _sender(name, kind), include_in_schema=False)


def _sender(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    body = (FOLDER / name).read_bytes()

    async def send() -> Response:
        return Response(body, media_type=kind, headers=HEADERS)

    return send
