"""Text of .docx and .pdf files. A .docx is a zip archive of XML, read as a stream; a .pdf needs pypdf.

Neither reads pictures. Of a .docx come the paragraphs and tables of the document's body, without footnotes, headers and
comments; of a .pdf the text of each page, lines as they are broken there.
"""

from __future__ import annotations

import logging
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from scratchlm.text.counts import BadFile
from scratchlm.text.opening import CHUNK, seekable

UNPACKED_LIMIT = 1 << 27
"""Most bytes of unpacked XML, and characters of a PDF, that are read: a small archive can hold terabytes."""
DEPTH_LIMIT = 1000
"""Deepest nesting of elements."""
OLD_OFFICE = b"\xd0\xcf\x11\xe0"
"""First bytes of files of Word before 2007, and of encrypted ones."""
DAMAGE = (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, ValueError, LookupError)
"""What a damaged archive and its XML raise."""
BODY, STYLES = "word/document.xml", "word/styles.xml"


class NoReader(BadFile):
    """A package is missing that reads this format."""

    def __init__(self, message: str) -> None:
        super().__init__("needs pypdf", message)


@dataclass
class Paragraph:
    """A paragraph of a .docx file, or a row of a table, whose cells stand between tabs."""

    pieces: list[str] = field(default_factory=list)
    heading: int = 0
    """Level of a heading, from 1; 0 is body text."""
    bold: bool = True
    """Whether all of its letters are bold."""

    @property
    def text(self) -> str:
        """The text itself."""
        return "".join(self.pieces)


def docx_paragraphs(path: Path) -> Iterator[Paragraph]:
    """Yield the paragraphs of a .docx file that have text; raises `BadFile` for one that is damaged or encrypted."""
    with seekable(path) as stream, _reading(path):
        if stream.read(4) == OLD_OFFICE:
            message = f"{path}: encrypted, or of a Word before 2007; save it as .docx without a password"
            raise BadFile("encrypted", message)
        with zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
            if BODY not in names:
                raise BadFile("broken docx", f"{path}: holds no {BODY}, so it is no Word document; save it again")
            styles = _Styles()
            if STYLES in names:
                for _ in _parsed(archive, STYLES, styles, path):
                    pass
            body = _Body(styles.headings)
            for _ in _parsed(archive, BODY, body, path):
                yield from (each for each in body.done if each.text.strip())
                body.done.clear()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in an archive or its XML into `BadFile`."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        expat.ExpatError,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,  # a compression that zipfile does not know
    ) as error:
        raise BadFile("broken docx", f"{path}: not a whole .docx file ({error}); save or copy it again") from error
    except RuntimeError as error:  # what zipfile raises for an encrypted member
        raise BadFile("encrypted", f"{path}: is encrypted; save it without a password") from error


def _parsed(archive: zipfile.ZipFile, name: str, reader: _Styles | _Body, path: Path) -> Iterator[None]:
    """Give the XML of a member to a reader, a chunk at a time; yields after each."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_LIMIT:
            raise BadFile("broken docx", f"{path}: its XML is nested over {DEPTH_LIMIT:,} deep; save it again")
        reader.start(_local(element), {_local(key): value for key, value in attributes.items()})

    def end(element: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(_local(element))

    def refuse(*_: object) -> None:
        raise BadFile("broken docx", f"{path}: its XML declares entities, which no Word document does; save it again")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, refuse
    parser.CharacterDataHandler = reader.data
    total = 0
    with archive.open(name) as stream:
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            if total > UNPACKED_LIMIT:
                message = f"{path}: unpacks to more than {UNPACKED_LIMIT >> 20} MB; save its text as .txt"
                raise BadFile("too large", message)
            parser.Parse(chunk, False)
            yield
    parser.Parse(b"", True)
    yield


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


class _Styles:
    """The styles that are headings, by their ids: their built-in names are English in every language of Word."""

    def __init__(self) -> None:
        self.headings: dict[str, int] = {}
        self._id = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "style":
            self._id = attributes.get("styleId", "")
        elif name == "name":
            words = attributes.get("val", "").lower().split()
            if len(words) == 2 and words[0] == "heading" and words[1] in list("123456789"):
                self.headings[self._id] = min(int(words[1]), 6)

    def end(self, name: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass


@dataclass
class _Body:
    """Collects paragraphs; those in a text box come before the one that holds it, and cells in their row."""

    headings: dict[str, int]
    done: list[Paragraph] = field(default_factory=list)
    _open: list[Paragraph] = field(default_factory=list)
    _rows: list[list[list[str]]] = field(default_factory=list)
    _skipped: int = 0
    """How many elements are open whose text is not the document's: what was moved away, and second forms of a shape."""
    _is_text: bool = False
    _is_bold: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        paragraph = self._open[-1] if self._open else None
        match name:
            case "Fallback" | "moveFrom":
                self._skipped += 1
            case "p":
                self._open.append(Paragraph())
            case "tr":
                self._rows.append([])
            case "tc" if self._rows:
                self._rows[-1].append([])
            case "pStyle" if paragraph:
                paragraph.heading = self.headings.get(attributes.get("val", ""), 0)
            case "r":
                self._is_bold = False
            case "b":
                self._is_bold = attributes.get("val", "true") not in ("0", "false", "off")
            case "t":
                self._is_text = True
            case "tab" | "br" | "cr" if paragraph and not self._skipped and "pos" not in attributes:  # pos: a tab stop
                paragraph.pieces.append("\t" if name == "tab" else "\n")
            case "noBreakHyphen" if paragraph:
                paragraph.pieces.append("-")

    def data(self, text: str) -> None:
        if self._is_text and not self._skipped and self._open:
            paragraph = self._open[-1]
            paragraph.pieces.append(text)
            paragraph.bold = paragraph.bold and (self._is_bold or not text.strip())

    def end(self, name: str) -> None:
        match name:
            case "Fallback" | "moveFrom":
                self._skipped -= 1
            case "t":
                self._is_text = False
            case "p" if self._open:
                paragraph = self._open.pop()
                if self._rows and self._rows[-1]:
                    self._rows[-1][-1].append(paragraph.text.strip())
                else:
                    self.done.append(paragraph)
            case "tr" if self._rows:
                cells = [" ".join(filter(None, cell)) for cell in self._rows.pop()]
                if self._rows and self._rows[-1]:
                    self._rows[-1][-1].append(" ".join(filter(None, cells)))
                else:
                    self.done.append(Paragraph(["\t".join(cells)], bold=False))


def pdf_pages(path: Path) -> Iterator[str]:
    """Yield the text of each page of a .pdf file that has some.

    Raises `NoReader` without pypdf, and `BadFile` for a file that is damaged, encrypted with a password, or has no text
    on any page, as scans do.
    """
    try:
        import pypdf
    except ImportError as error:
        raise NoReader(f"{path}: a PDF is read with pypdf; run: pip install 'scratchlm[pdf]'") from error
    total = 0
    with seekable(path) as stream, _quiet():
        try:
            reader = pypdf.PdfReader(stream)
            if reader.is_encrypted and not reader.decrypt(""):
                raise BadFile("encrypted", f"{path}: is encrypted; save it without a password")
            for page in reader.pages:
                text = page.extract_text().encode("utf-8", "replace").decode("utf-8").strip()
                total += len(text)
                if total > UNPACKED_LIMIT:
                    raise BadFile("too large", f"{path}: has more than {UNPACKED_LIMIT:,} characters; split it")
                if text:
                    yield text
        except (BadFile, GeneratorExit):
            raise
        except pypdf.errors.DependencyError as error:
            raise NoReader(f"{path}: is encrypted with AES; run: pip install 'scratchlm[pdf]'") from error
        except Exception as error:  # a damaged PDF raises what its objects, being others than expected, lead to
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise BadFile("broken PDF", f"{path}: not a readable PDF ({what}); save or copy it again") from error
    if not total:
        message = f"{path}: its pages are pictures, without text; recognise it first, for example with ocrmypdf"
        raise BadFile("scanned PDF", message)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf from writing about each oddity of a file on stderr."""
    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def text_of(path: Path, suffix: str) -> str:
    """Return the text of a .docx or .pdf file, an empty line between paragraphs or pages; raises `BadFile`."""
    parts = (paragraph.text for paragraph in docx_paragraphs(path)) if suffix == ".docx" else pdf_pages(path)
    return "\n\n".join(parts)


def lines_of(path: Path, suffix: str) -> list[str]:
    """Return the lines of a .docx or .pdf file, headings and bold paragraphs marked as in Markdown."""
    if suffix == ".pdf":
        return [line for page in pdf_pages(path) for line in page.split("\n")]
    lines = []
    for each in docx_paragraphs(path):
        if each.heading:
            lines += [f"{'#' * each.heading} {' '.join(each.text.split())}", ""]
        else:
            lines += [f"**{each.text.strip()}**" if each.bold and "\n" not in each.text else each.text, ""]
    return lines
