"""Small .docx and .pdf files, made by hand, whole and damaged in ways of their own."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from fuzz.damage import Damage

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY = "word/document.xml"
STYLES = f'<w:styles xmlns:w="{WORD}"><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style></w:styles>'


def document(inside: str) -> str:
    """Return the XML of a document with this body."""
    return f'<?xml version="1.0"?><w:document xmlns:w="{WORD}"><w:body>{inside}</w:body></w:document>'


def paragraph(text: str, properties: str = "", run: str = "") -> str:
    """Return the XML of a paragraph."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{escape(text)}</w:t></w:r></w:p>"


def write_docx(path: Path, inside: str | Sequence[str], body: str | None = None) -> None:
    """Write a .docx of the XML of its body, or of paragraphs of text; `body` is the whole XML instead."""
    inside = inside if isinstance(inside, str) else "".join(map(paragraph, inside))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(BODY, document(inside) if body is None else body)
        archive.writestr("word/styles.xml", STYLES)


def write_pdf(path: Path, pages: Sequence[str]) -> None:
    """Write a .pdf with a line of text on each page; an empty one has no text, as a scan."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else "0 0 m 9 9 l S"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{each}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    path.write_bytes(data + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode())


def of_docx(_: Path) -> Iterator[tuple[str, Damage]]:
    """Damage to the XML inside a .docx."""
    bodies = {
        "no-xml": "no XML",
        "cut": document(paragraph("a"))[:-30],
        "deep": document("<w:p>" * 50_000 + "</w:p>" * 50_000),
        "entities": f'<!DOCTYPE d [<!ENTITY a "{"a" * 1000}"><!ENTITY b "{"&a;" * 1000}">]>{document(paragraph("a"))}',
        "strays": document("</w:p>".join(("<w:p><w:tc><w:tr><w:t>a</w:t></w:tr></w:tc>", ""))),
        "other": "<html><p>text</p></html>",
        "control": document(paragraph("a\x01b")),
    }
    for name, body in bodies.items():
        yield f"xml-{name}", partial(write_docx, inside="", body=body)

    def bomb(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(BODY, "w") as file:
            file.write(document(paragraph("a")).partition("a</w:t>")[0].encode())
            for _ in range(200):
                file.write(b"a" * 1_000_000)

    yield "bomb", bomb

    def bare(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "nothing")

    yield "no-document", bare
