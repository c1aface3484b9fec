"""Downloads that resume, try mirrors in turn, and end whole and checked or not at all.

Bytes go to `NAME.part` beside the target, which takes its name only when size and SHA-256 are right. A part that was
left behind is continued where that is safe: when the server confirms that the file is still the same (If-Range with
its ETag or date), or when the expected SHA-256 is known and will find out. Neither pooch nor huggingface-hub asks that
of the server or goes on to another mirror, so this is our own.
"""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error, read_json, require_free_space, sha256_of, write_json

CHUNK = 1 << 18  # bytes
ATTEMPTS = 4  # a mirror; each continues where the one before was cut off
PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
TIMEOUT = 30.0  # seconds without a byte

Progress = Callable[[int, int | None], None]


class _MirrorFailed(Exception):  # noqa: N818 - internal: leads on to the next mirror
    """This mirror cannot give the file; the message says why."""


class _CutOff(Exception):  # noqa: N818 - internal: leads to another attempt
    """The connection broke or the server was busy; another attempt may go further."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What is fetched, and what is known of it beforehand."""

    url: str
    target: Path
    sha256: str | None
    size: int | None
    progress: Progress | None

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def state(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Fetch one file from the first of `urls` that gives it, write it to `target`, return its SHA-256 in hexadecimal.

    `sha256` and `size` (bytes) are checked when given. `progress(bytes so far, bytes in all or None)` is called as
    bytes arrive. An existing `target` is replaced. Interrupted downloads continue at the next call.
    Raises `UserError` when no mirror gives the right file, when the disk lacks the room, or the folder is not
    writable; the message says what each mirror did and how to go on without a network.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, target.parent) from error
    failures = []
    for url in urls:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"{url}: only http and https addresses are downloaded; name a local file as a path")
        try:
            return _fetch(_Job(url, target, sha256, size, progress))
        except _MirrorFailed as failure:
            failures.append(f"{url}: {failure}")
    tried = "; ".join(failures) or "it has no address"
    raise UserError(
        f"{target.name}: could not be downloaded ({tried}); "
        f"check the network, or fetch the file on another machine and name it with --from-local FILE"
    )


def _fetch(job: _Job) -> str:
    """Fetch from one mirror, in as many attempts as it takes, and check the result."""
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        fresh = not job.part.exists()
        try:
            _transfer(job)
        except _CutOff as cut:
            reason = str(cut)
            continue
        digest, fault = _check(job)
        if not fault:
            try:
                os.replace(job.part, job.target)
                job.state.unlink(missing_ok=True)
            except OSError as error:
                raise explain_os_error(error, job.target) from error
            return digest
        _discard(job)
        if fresh:
            raise _MirrorFailed(fault)
        reason = fault  # perhaps only the part kept from before was wrong: once more, from the beginning
    raise _MirrorFailed(f"{reason}, after {ATTEMPTS} attempts")


def _check(job: _Job) -> tuple[str, str]:
    """Return the SHA-256 of the complete part, and what is wrong with it or nothing."""
    size = job.part.stat().st_size
    if job.size is not None and size != job.size:
        return "", f"has {size:,} bytes where {job.size:,} are expected"
    digest = sha256_of(job.part)
    if job.sha256 is not None and digest != job.sha256.lower():
        return digest, f"its SHA-256 is {digest}, not {job.sha256}"
    return digest, ""


def _discard(job: _Job) -> None:
    job.part.unlink(missing_ok=True)
    job.state.unlink(missing_ok=True)


def _transfer(job: _Job) -> None:
    """Make one request and append what it brings to the part; returns when the part is complete."""
    start, headers = _resume_point(job)
    request = urllib.request.Request(job.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part reaches beyond the file, so it is of another version
                _discard(job)
                raise _CutOff("the part kept from before does not fit the file") from error
            if error.code == 429 or error.code >= 500:
                raise _CutOff(f"HTTP {error.code} {error.reason}") from error
            raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorFailed(f"cannot be reached ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutOff(f"the connection broke ({error or type(error).__name__})") from error
    with response:
        resumed = response.status == 206 and _range_start(response) == start
        if response.status == 206 and not resumed:
            _discard(job)
            raise _CutOff("the server sent another part than asked for")
        _receive(job, response, start if resumed else 0)


def _resume_point(job: _Job) -> tuple[int, dict[str, str]]:
    """Return the byte to go on from and the headers of the request."""
    headers = {"User-Agent": "scratchlm", "Accept-Encoding": "identity"}
    try:
        start = job.part.stat().st_size
    except OSError:
        return 0, headers
    validator = None
    if job.state.exists():
        try:
            state = read_json(job.state)
        except UserError:
            state = None
        if isinstance(state, dict) and state.get("url") == job.url:
            validator = state.get("validator")
    if start == 0 or (validator is None and job.sha256 is None):
        return 0, headers
    headers["Range"] = f"bytes={start}-"
    if validator is not None:
        headers["If-Range"] = validator
    return start, headers


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """Return the first byte of a partial answer, from `Content-Range: bytes START-END/TOTAL`."""
    unit, _, extent = (response.headers.get("Content-Range") or "").partition(" ")
    first = extent.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _receive(job: _Job, response: http.client.HTTPResponse, start: int) -> None:
    """Write the body of an answer to the part from byte `start` on."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length is not None and length.isdecimal() else None
    if job.size is not None and total is not None and total != job.size:
        _discard(job)
        raise _MirrorFailed(f"has {total:,} bytes where {job.size:,} are expected")
    if total is not None:
        require_free_space(job.target.parent, total - start)
    tag = response.headers.get("ETag")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    done = start
    try:
        write_json(job.state, {"url": job.url, "validator": validator})
        with job.part.open("ab" if start else "wb") as file:
            while block := _read_block(response):
                file.write(block)
                done += len(block)
                if job.progress is not None:
                    job.progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain_os_error(error, job.part) from error
    if total is not None and done < total:
        raise _CutOff(f"the connection broke after {done:,} of {total:,} bytes")


def _read_block(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _CutOff(f"the connection broke ({error or type(error).__name__})") from error
