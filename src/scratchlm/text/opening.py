"""Files as streams of bytes, with gzip and Zstandard decompressed."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import require_plain
from scratchlm.text.counts import BadFile

# Bytes read at a time. Small, because decoding large chunks of mixed scripts fragments glibc's heap: after 2 GB, 466 MB
# remained at 1 MiB a chunk and 49 MB at 64 KiB, at the same speed.
CHUNK = 1 << 16
COMPRESSIONS = (".gz", ".zst")


def _open(path: Path) -> Any:
    _require_plain(path)
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")
    if suffix == ".zst":
        import pyarrow  # takes a tenth of a second; zstandard's own reader ends a truncated file as if it were whole

        return pyarrow.input_stream(path.open("rb"), compression="zstd")
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
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # those of gzip, zlib and pyarrow have no number
            raise BadFile("unreadable", str(explain_os_error(error, path))) from error
        if isinstance(error, EOFError) or "Truncated" in str(error):
            raise BadFile("truncated", f"{path}: the compressed file ends too early; copy or fetch it again") from error
        raise BadFile("broken compression", f"{path}: cannot be decompressed ({error}); fetch it again") from error


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
    with ExitStack() as stack:
        unpacked = stack.enter_context(tempfile.TemporaryFile())
        try:
            unpacked.writelines(read_chunks(path))
        except OSError as error:
            raise explain_os_error(error, tempfile.gettempdir()) from error
        unpacked.seek(0)
        stack.pop_all()  # the caller closes it, which also removes it
    return unpacked
