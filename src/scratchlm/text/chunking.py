"""Long texts in pieces: where a text may be cut so that its tokens do not change, and documents inside one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHUNK = 4 << 20  # characters a piece aims at
CHUNK_LIMIT = 16 << 20  # characters after which a text without a safe place is cut anyway


def last_safe_cut(text: str, start: int, stop: int) -> int:
    """Return the last index in `start < index < stop` at which `text` may be cut, or 0 when there is none.

    A safe place is just before an ASCII space that follows a character which is no white space. The split patterns
    of GPT-2, cl100k and Qwen2 join a space only to what follows it, and their look-ahead looks only from white space
    to the right, so no match reaches across such a place and both halves split as the whole did. For the same reason
    Unicode normalisation of the halves equals that of the whole: a space never composes with what precedes it.
    """
    index = text.rfind(" ", start + 1, stop)
    while index > 0:
        if not text[index - 1].isspace():
            return index
        index = text.rfind(" ", start + 1, index)
    return 0


def last_line_start(text: str, stop: int) -> int:
    """Return the last index before `stop` where a letter begins a line and the line before it is not blank, or 0.

    The second choice, for scripts without spaces: safe under the same patterns, because a single line feed between
    a visible character and a letter is a match of its own, or ends one, on either side of the cut.
    """
    index = text.rfind("\n", 1, stop - 1)
    while index > 0:
        if text[index + 1].isalpha() and not text[index - 1].isspace():
            return index + 1
        index = text.rfind("\n", 1, index)
    return 0


class Cutter:
    """Gathers the text of one document and gives it out in pieces of about `size` characters.

    Holds at most `limit` characters and what is pushed at a time.
    """

    def __init__(self, size: int = CHUNK, limit: int = CHUNK_LIMIT) -> None:
        self.size, self.limit = size, limit
        self._text = ""
        self._parts: list[str] = []
        self._length = 0

    def push(self, text: str) -> Iterator[str]:
        """Add text; yield the pieces that are complete, each certain to be followed by more of the document."""
        self._parts.append(text)
        self._length += len(text)
        while self._length > self.size:
            self._text = "".join((self._text, *self._parts))
            self._parts = []
            cut = last_safe_cut(self._text, 0, self.size + 1)
            if not cut:
                if self._length <= self.limit:
                    return  # a later push may bring a safe place
                cut = last_safe_cut(self._text, self.size, self.limit + 1)
                cut = cut or last_line_start(self._text, self.limit) or self.limit
            piece, self._text = self._text[:cut], self._text[cut:]
            self._length -= cut
            yield piece

    def holds(self) -> bool:
        """Tell whether text of an unfinished document is held."""
        return self._length > 0

    def finish(self) -> str:
        """Return the rest of the document, perhaps empty, and begin a new one."""
        rest = "".join((self._text, *self._parts))
        self._text, self._parts, self._length = "", [], 0
        return rest


def fragments(blocks: Iterable[str], separator: str) -> Iterator[tuple[str, bool]]:
    """Cut a stream of text at every `separator`, yield (fragment, whether a document ends after it).

    The separator belongs to no document, and is found across the borders of blocks too.
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


def cut_documents(parts: Iterable[tuple[str, bool]], cutter: Cutter) -> Iterator[tuple[str, int, bool]]:
    """Turn fragments into (piece, number of its document from 1, continued), leaving blank documents out.

    Line feeds around a document are removed: they belong to the separation, not to the text.
    """
    number, waiting = 0, ""
    begun = False  # a piece of the present document has been yielded or waits
    for text, ends in parts:
        for piece in cutter.push(text if begun or cutter.holds() else text.lstrip("\n")):
            if begun:
                yield waiting, number, True
            else:
                number, begun = number + 1, True
            waiting = piece
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
