"""Chunking of long texts, at places where a cut does not change the tokens, and splitting of files into documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHUNK = 4 << 20  # target size in characters
CHUNK_LIMIT = 16 << 20  # characters after which a text is cut even without a safe place


def last_safe_cut(text: str, start: int, stop: int) -> int:
    """Return the last index in `start < index < stop` at which `text` may be cut, or 0 when there is none.

    A safe place is just before an ASCII space that follows a non-whitespace character. The split patterns of GPT-2,
    cl100k and Qwen2 join a space only to the following characters, and their look-ahead looks only from whitespace to
    the right, so no match crosses such a place and both halves split as the whole did. Unicode normalisation of the
    halves equals that of the whole too: a space never composes with the character before it.
    """
    index = text.rfind(" ", start + 1, stop)
    while index > 0:
        if not text[index - 1].isspace():
            return index
        index = text.rfind(" ", start + 1, index)
    return 0


def last_line_start(text: str, stop: int) -> int:
    """Return the last index before `stop` where a letter begins a line and the line before it is not blank, or 0.

    The second choice, for scripts without spaces. It is safe under the same patterns, because a single line feed
    between a visible character and a letter is a match of its own or ends one.
    """
    index = text.rfind("\n", 1, stop - 1)
    while index > 0:
        if text[index + 1].isalpha() and not text[index - 1].isspace():
            return index + 1
        index = text.rfind("\n", 1, index)
    return 0


class Chunker:
    """Buffers the text of one document and returns it in chunks of about `size` characters.

    Holds at most `limit` characters and the text of one push.
    """

    def __init__(self, size: int = CHUNK, limit: int = CHUNK_LIMIT) -> None:
        self.size, self.limit = size, limit
        self._text = ""
        self._parts: list[str] = []
        self._length = 0

    def push(self, text: str) -> Iterator[str]:
        """Add text; yield the complete chunks, each followed by more text of the document."""
        self._parts.append(text)
        self._length += len(text)
        while self._length > self.size:
            self._text = "".join((self._text, *self._parts))
            self._parts = []
            cut = last_safe_cut(self._text, 0, self.size + 1)
            if not cut:
                if self._length <= self.limit:
                    return  # a later push may contain a safe place
                cut = last_safe_cut(self._text, self.size, self.limit + 1)
                cut = cut or last_line_start(self._text, self.limit) or self.limit
            chunk, self._text = self._text[:cut], self._text[cut:]
            self._length -= cut
            yield chunk

    def holds(self) -> bool:
        """Return whether text of an unfinished document is buffered."""
        return self._length > 0

    def finish(self) -> str:
        """Return the rest of the document, possibly empty, and start a new one."""
        rest = "".join((self._text, *self._parts))
        self._text, self._parts, self._length = "", [], 0
        return rest


def fragments(blocks: Iterable[str], separator: str) -> Iterator[tuple[str, bool]]:
    """Split a stream of text at every `separator`; yield (fragment, whether a document ends after it).

    The separator belongs to no document, and is found across block boundaries too.
    """
    rest = ""
    for block in blocks:
        *complete, rest = (rest + block).split(separator)
        for text in complete:
            yield text, True
        keep = len(separator) - 1
        if len(rest) > keep:
            yield rest[: len(rest) - keep], False
            rest = rest[len(rest) - keep :]
    yield rest, True


def cut_documents(parts: Iterable[tuple[str, bool]], cutter: Chunker) -> Iterator[tuple[str, int, bool]]:
    """Turn fragments into (chunk, number of its document from 1, continued), without blank documents.

    Line feeds around a document are removed: they are part of the separation.
    """
    number, waiting = 0, ""
    begun = False  # a chunk of the current document was yielded or is waiting
    for text, ends in parts:
        for chunk in cutter.push(text if begun or cutter.holds() else text.lstrip("\n")):
            if begun:
                yield waiting, number, True
            else:
                number, begun = number + 1, True
            waiting = chunk
        if ends:
            rest = cutter.finish().rstrip("\n")
            if begun and rest:
                yield waiting, number, True
                yield rest, number, False
            elif begun:
                yield waiting.rstrip("\n"), number, False
            elif rest.strip():
                number += 1
                yield rest, number, False
            begun = False
