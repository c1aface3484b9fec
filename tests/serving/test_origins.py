"""By which names a server answers, and for the pages of which sites."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from commands import fails
from scratchlm.serving.errors import ApiError
from scratchlm.serving.origins import Origins
from served import Server, serving

COMPLETION = {"model": "talker", "prompt": "Once", "max_tokens": 4}
SITE = "https://chat.example.org"


def is_allowed(origins: Origins, host: str, origin: str = "") -> bool:
    try:
        origins.require_allowed(host, origin)
    except ApiError as error:
        return (error.status, "--allow-origin" in error.detail) != (403, True)
    return True


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000", "[::1]", ""])
def test_this_machine_is_always_right_with_any_port(host: str) -> None:
    origins = Origins("127.0.0.1")
    assert is_allowed(origins, host)
    assert is_allowed(origins, host, "http://localhost:3000")
    assert not is_allowed(origins, host, "https://evil.example")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "localhost@evil.example", "192.168.1.5", "[", "a:b",
     "127.0.0.1.evil.example", "evil.example#localhost", "localhost/x"],
)  # fmt: skip
def test_another_name_is_refused(host: str) -> None:
    assert not is_allowed(Origins("127.0.0.1"), host)


def test_a_server_for_others_answers_by_addresses_and_by_its_own_name() -> None:
    for address in ("0.0.0.0", "::", "192.168.1.5"):
        origins = Origins(address)
        for host in ("192.168.1.5:8000", "[fe80::1]:8000", f"{socket.gethostname()}:8000", "localhost"):
            assert is_allowed(origins, host)
            assert is_allowed(origins, host, f"http://{host}")
        assert not is_allowed(origins, "evil.example")
        assert not is_allowed(origins, "192.168.1.5:8000", "http://192.168.1.6:8000")
    assert is_allowed(Origins("box.example"), "box.example:8000", "http://box.example:8000")


@pytest.mark.parametrize(
    "origin", ["null", "https://chat.example.org.evil.example", "http://chat.example.org", "file://"]
)
def test_an_allowed_origin_allows_its_name_and_no_other_site(origin: str) -> None:
    origins = Origins("127.0.0.1", [SITE])
    assert is_allowed(origins, "localhost", SITE)
    assert is_allowed(origins, "chat.example.org", SITE)
    assert not is_allowed(origins, "localhost", origin)
    assert is_allowed(Origins("127.0.0.1", ["*"]), "evil.example", origin)


def test_foreign_names_and_sites_are_refused_before_anything_is_done(server: Server) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": SITE}, {"Origin": "null"}):
        for answer in (
            server.post("/v1/completions", COMPLETION, headers=headers),
            httpx.get(f"{server.url}/health", headers=headers),
            httpx.options(f"{server.url}/v1/completions", headers=headers | {"Access-Control-Request-Method": "POST"}),
        ):
            assert answer.status_code == 403
            error = answer.json()["error"]
            assert error["type"] == "permission_error"
            assert next(iter(headers.values())) in error["message"]
            assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_site_may_ask_and_read_all_answers(models: Path) -> None:
    with serving(
        models / "talker", "--allow-origin", SITE, "--allow-origin", "app://x", SCRATCHLM_API_KEY="k"
    ) as server:
        for origin in (SITE, "app://x", "http://localhost:3000"):
            asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            preflight = httpx.options(f"{server.url}/v1/completions", headers={"Origin": origin, **asked})
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == origin
            assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
            right = {"Origin": origin, "Authorization": "Bearer k"}
            for headers, status in ((right, 200), ({"Origin": origin}, 401)):
                answer = server.post("/v1/completions", COMPLETION, headers=headers)
                assert answer.status_code == status
                assert answer.headers["access-control-allow-origin"] == origin
        assert server.post("/v1/completions", COMPLETION, headers={"Origin": "https://evil.example"}).status_code == 403


def test_what_is_no_origin_is_refused_at_the_start(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("chat.example.org", "https://chat.example.org/page", "https://"):
        said = fails(capsys, "serve", models / "talker", "--allow-origin", wrong, code=2)
        assert f"--allow-origin {wrong}: is no origin; write it as https://host:port" in said
