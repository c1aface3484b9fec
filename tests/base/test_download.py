"""Downloads against a server of our own: resume, mirrors, checks, and what a user reads when it fails."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchlm.base import download as module
from scratchlm.base.download import download
from scratchlm.base.errors import UserError

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
HASH = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves BODY at any path; what it does wrong on the way is set by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"one"'
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.status: list[int] = []  # status codes of the next answers, before any body is sent
        self.ranges = True
        self.seen: list[tuple[str, str | None, str | None]] = []

    def handle_error(self, *arguments: object) -> None:
        pass  # a client that refuses an answer by its size hangs up on us

    def url(self, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        server.seen.append((self.path, wanted, condition))
        if server.status:
            self.send_error(server.status.pop(0))
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        start = 0
        if wanted and server.ranges and (condition is None or condition == server.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        rest = server.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        self.wfile.write(rest[: server.cut_after.pop(0)] if server.cut_after else rest)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(module, "PAUSE", 0.001)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_arrives_whole_with_its_hash(server: Server, tmp_path: Path) -> None:
    target, heard = tmp_path / "new" / "file.bin", []
    found = download([server.url()], target, sha256=HASH, size=len(BODY), progress=lambda *pair: heard.append(pair))
    assert found == HASH
    assert target.read_bytes() == BODY
    assert heard[-1] == (len(BODY), len(BODY))
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_cut_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = [300_000, 300_000]
    assert download([server.url()], tmp_path / "file.bin", sha256=None, size=None) == HASH
    assert [(wanted, condition) for _, wanted, condition in server.seen] == [
        (None, None),
        ("bytes=300000-", '"one"'),
        ("bytes=600000-", '"one"'),
    ]


def test_a_later_call_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    server.cut_after = [100_000] * module.ATTEMPTS
    with pytest.raises(UserError, match="the connection broke after 400,000 of 1,024,000 bytes, after 4 attempts"):
        download([server.url()], target)
    assert not target.exists()
    assert download([server.url()], target) == HASH
    assert server.seen[-1][1:] == ("bytes=400000-", '"one"')


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    server.cut_after = [100_000]
    server.etag = '"old"'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ATTEMPTS", 1)
        with pytest.raises(UserError):
            download([server.url()], target)
    server.etag, server.body = '"new"', BODY[::-1]
    download([server.url()], target)
    assert target.read_bytes() == BODY[::-1]


def test_a_part_of_unknown_origin_is_continued_only_when_the_hash_is_known(server: Server, tmp_path: Path) -> None:
    target, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    part.write_bytes(BODY[:1000])
    assert download([server.url()], target, sha256=HASH) == HASH
    assert server.seen[-1][1] == "bytes=1000-"
    part.write_bytes(b"x" * 1000)
    assert download([server.url()], target) == HASH
    assert server.seen[-1][1] is None
    part.write_bytes(b"x" * 1000)  # a wrong part, found out by the hash, does not cost the mirror
    assert download([server.url()], target, sha256=HASH) == HASH
    assert [wanted for _, wanted, _ in server.seen[-2:]] == ["bytes=1000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY + b"more")
    assert download([server.url()], tmp_path / "file.bin", sha256=HASH) == HASH


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.ranges = [1000], False
    assert download([server.url()], tmp_path / "file.bin", sha256=HASH) == HASH


def test_mirrors_are_tried_in_turn(server: Server, tmp_path: Path) -> None:
    urls = [server.url("missing"), server.url()]
    assert download(urls, tmp_path / "file.bin") == HASH
    assert [path for path, _, _ in server.seen] == ["/missing", "/file.bin"]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = [503, 429]
    assert download([server.url()], tmp_path / "file.bin") == HASH


def test_a_wrong_hash_or_size_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"its SHA-256 is {HASH}, not {'0' * 64}"):
        download([server.url()], tmp_path / "file.bin", sha256="0" * 64)
    with pytest.raises(UserError, match="has 1,024,000 bytes where 5 are expected"):
        download([server.url()], tmp_path / "file.bin", size=5)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named_with_the_way_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"file\.bin: could not be downloaded .*/missing: HTTP 404.*--from-local FILE"):
        download([server.url("missing")], tmp_path / "file.bin")
    assert len(server.seen) == 1


def test_no_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(UserError, match=r"cannot be reached .*name resolution.*--from-local") as caught:
        download(["https://one.invalid/f", "https://two.invalid/f"], tmp_path / "f")
    assert "\n" not in str(caught.value)
    assert "two.invalid" in str(caught.value)


def test_a_full_disk_is_found_before_the_download(server: Server, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000})())
        with pytest.raises(UserError, match="MB needed"):
            download([server.url()], tmp_path / "file.bin")


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only http and https"):
        download(["file:///etc/passwd"], tmp_path / "f")
