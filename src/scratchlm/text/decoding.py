"""Decoding bytes to text: the encoding of a file, whether it is text, and the place of a decoding error."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import AnyStr

from scratchlm.text.counts import BadFile
from scratchlm.text.opening import read_chunks

HEAD = 1 << 16  # bytes inspected to detect the encoding
LINE_LIMIT = 1 << 28  # bytes in one line; a longer line means another file format

# Longest marks first: UTF-32's little-endian mark begins with UTF-16's.
BYTE_ORDER_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b") + b"\x7f"


def detect(head: bytes, path: Path) -> tuple[str, int]:
    """Return the encoding and the length of the byte-order mark of a file that begins with `head`.

    UTF-8 unless there is another byte-order mark, or every second byte is NUL as in UTF-16 without a mark. Legacy
    encodings (Latin-1, Shift-JIS and so on) are not guessed: a wrong guess would corrupt the text silently.
    Raises `BadFile` for a file that is not text.
    """
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return name, len(mark)
    low, high = head[0::2], head[1::2]
    if len(head) >= 4:
        if high.count(0) > 0.4 * len(high) and low.count(0) < 0.05 * len(low) + 1:
            return "utf-16-le", 0
        if low.count(0) > 0.4 * len(low) and high.count(0) < 0.05 * len(high) + 1:
            return "utf-16-be", 0
    controls = len(head) - len(head.translate(None, CONTROLS))
    try:
        codecs.utf_8_decode(head, "strict", len(head) < HEAD)
        limit = 0.3  # valid UTF-8 with some stray NULs can be repaired
    except UnicodeDecodeError:
        limit = 0.0 if 0 in head else 0.05  # text in a legacy encoding has no NULs and few control characters
    if controls > limit * len(head):
        raise BadFile(
            "binary", f"{path}: binary data, not text ({controls:,} control bytes at its beginning); remove it"
        )
    return "utf-8", 0


def _open_text(path: Path) -> tuple[str, int, Iterator[bytes]]:
    """Return the encoding, the length of the mark, and the chunks of a file after the mark."""
    chunks = read_chunks(path)
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    encoding, mark = detect(head[:HEAD], path)
    return encoding, mark, chain([head[mark:]], chunks)


def text_blocks(path: Path) -> Iterator[str]:
    """Yield the text of a file in small blocks, without its byte-order mark.

    Raises `BadFile` for a file that cannot be read or is not text, and at the first byte that does not belong to its
    encoding, naming the offset of that byte.
    """
    encoding, offset, chunks = _open_text(path)
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chain(chunks, [b""]):
        pending = len(decoder.getstate()[0])  # bytes of the chunk before, which belong to the next character
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            byte = f"0x{error.object[error.start]:02x}" if error.start < len(error.object) else "the end"
            raise BadFile(
                "wrong encoding",
                f"{path}: not {encoding.upper()}: {byte} at byte {offset - pending + error.start:,} ({error.reason}); "
                "convert it, for example iconv -f LATIN1 -t UTF-8",
            ) from error
        offset += len(chunk)
        if text:
            yield text


def _lines(blocks: Iterator[AnyStr], feed: AnyStr, path: Path) -> Iterator[AnyStr]:
    """Yield the lines of blocks of text with their ends."""
    rest: list[AnyStr] = []
    size = 0
    for block in blocks:
        lines = block.split(feed)
        last = lines.pop()
        for line in lines:
            yield feed[:0].join(rest) + line + feed
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        if size > LINE_LIMIT:
            raise BadFile("too large", f"{path}: a line of more than {LINE_LIMIT >> 20} MB; not a file of rows")
    if size:
        yield feed[:0].join(rest)


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends, split at line feeds only; raises `BadFile` as `text_blocks` does."""
    return _lines(text_blocks(path), "\n", path)


def byte_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8 bytes without line ends, so that a broken line affects no other.

    Raises `BadFile` as `text_blocks` does, except for invalid UTF-8, which the caller must check.
    """
    encoding, _, chunks = _open_text(path)
    if encoding == "utf-8":
        lines = _lines(chunks, b"\n", path)
    else:
        lines = (text.encode("utf-8", "surrogatepass") for text in text_lines(path))
    for line in lines:
        yield line.rstrip(b"\r\n")
