"""Files as streams of bytes, with gzip and Zstandard decompressed."""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import require_plain
from scratchlm.text.counts import BadFile

# Bytes read at a time. Small, because decoding large chunks of mixed scripts fragments glibc's heap: after 2 GB, 466 MB
# remained at 1 MiB a chunk and 49 MB at 64 KiB, at the same speed.
CHUNK = 1 << 16
COMPRESSIONS = (".gz", ".zst")


class _ZstdStream(io.RawIOBase):
    """Reads the frames of a Zstandard file one after another.

    Written here because the library's own reader accepts a truncated file silently.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, target: Any) -> int:
        while not self._ready:
            left_over = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            data = left_over or self._file.read(1 << 16)
            if not data:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the last frame is not complete")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(data)
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    _require_plain(path)
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")
    if suffix == ".zst":
        return io.BufferedReader(_ZstdStream(path.open("rb")), CHUNK)
    return path.open("rb")


def _require_plain(path: Path) -> None:
    """Raise `BadFile` for a pipe or a device, which may never end, and for a folder."""
    try:
        require_plain(path)
    except UserError as error:
        raise BadFile("no file", str(error)) from error


def read_chunks(path: Path, size: int = CHUNK) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file in chunks of at most `size`.

    Raises `BadFile` when the file cannot be opened or read, or its compression is truncated or broken.
    """
    try:
        with _open(path) as stream:
            while chunk := stream.read(size):
                yield chunk
    except EOFError as error:
        raise BadFile("truncated", f"{path}: the compressed file ends too early; copy or fetch it again") from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise BadFile("broken compression", f"{path}: cannot be decompressed ({error}); fetch it again") from error
    except OSError as error:
        raise BadFile("unreadable", str(explain_os_error(error, path))) from error


def read_whole(path: Path, limit: int) -> bytes:
    """Return the decompressed bytes of a file; raises `BadFile` as `read_chunks` does, and beyond `limit` bytes."""
    pieces, total = [], 0
    for chunk in read_chunks(path):
        total += len(chunk)
        if total > limit:
            message = f"{path}: larger than {limit / 1e9:g} GB, which is read into memory whole; use .jsonl"
            raise BadFile("too large", message)
        pieces.append(chunk)
    return b"".join(pieces)


def seekable(path: Path) -> IO[bytes]:
    """Open a file for random access; a compressed one is first decompressed into an unnamed temporary file.

    Raises `BadFile` as `read_chunks` does, and `UserError` when the disk is too full.
    """
    if path.suffix.lower() not in COMPRESSIONS:
        try:
            _require_plain(path)
            return path.open("rb")
        except OSError as error:
            raise BadFile("unreadable", str(explain_os_error(error, path))) from error
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it, which also removes it
    try:
        for chunk in read_chunks(path):
            unpacked.write(chunk)
    except OSError as error:
        unpacked.close()
        raise explain_os_error(error, tempfile.gettempdir()) from error
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked
