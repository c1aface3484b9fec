"""Word documents and PDFs as sources of text: what is read, and one line for what cannot be."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from fuzz.office import of_docx, paragraph, write_docx, write_pdf
from scratchlm.base.errors import UserError
from scratchlm.text.documents import Counts, read_documents
from scratchlm.text.records import read_records

HEADING, BOLD = '<w:pStyle w:val="berschrift2"/>', "<w:b/>"


def read(path: Path, split_on: str | None = None) -> tuple[list[str], Counts]:
    counts = Counts()
    documents = read_documents([path], text_column=None, split_on=split_on, strict=False, counts=counts)
    return [document.text for document in documents], counts


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_paragraphs_tabs_breaks_and_tables_of_word_are_read(tmp_path: Path) -> None:
    row = f"<w:tr><w:tc>{paragraph('name')}</w:tc><w:tc>{paragraph('Anna')}{paragraph('Berg')}</w:tc></w:tr>"
    inside = (
        f"{paragraph('First & last')}<w:p/><w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>"
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        f"<w:r><w:instrText>PAGE</w:instrText><w:t>kept</w:t></w:r></w:p><w:tbl>{row}</w:tbl>"
    )
    write_docx(tmp_path / "a.docx", inside)
    assert read(tmp_path / "a.docx")[0] == ["First & last\n\na\tb\nc\n\nkept\n\nname\tAnna Berg"]
    assert read(tmp_path / "a.docx", split_on="\\n\\n")[0][1:] == ["a\tb\nc", "kept", "name\tAnna Berg"]


def test_a_faq_of_word_is_read_by_its_headings_in_any_language_and_its_bold_lines(tmp_path: Path) -> None:
    parts = [
        paragraph("Wo?", HEADING), paragraph("Dort."), paragraph("Why?", "", BOLD), paragraph("Because?"),
        paragraph("It is."),
    ]  # fmt: skip
    write_docx(tmp_path / "faq.docx", "".join(parts))
    rows = [dict(each.values) for each in read_records(tmp_path / "faq.docx")]
    assert rows == [
        {"question": "Wo?", "answer": "Dort."},
        {"question": "Why?", "answer": "Because?\n\nIt is."},
    ]


def test_pages_of_a_pdf_are_read(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", ["The first page.", "", "The last."])
    texts, counts = read(tmp_path / "a.pdf")
    assert texts == ["The first page.\n\nThe last."]
    assert (counts.files, counts.skipped) == (1, {})


def test_a_pdf_without_text_or_with_a_password_is_refused_in_one_line(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    write_pdf(tmp_path / "scan.pdf", ["", ""])
    assert "scan.pdf: its pages are pictures, without text; recognise it first" in refused(tmp_path / "scan.pdf")
    write_pdf(tmp_path / "plain.pdf", ["Secret."])
    for name, password in (("locked", "secret"), ("open", "")):
        writer = PdfWriter(PdfReader(tmp_path / "plain.pdf"))
        writer.encrypt(password, "owner", algorithm="RC4-128")
        writer.write(tmp_path / f"{name}.pdf")
    assert "locked.pdf: is encrypted; save it without a password" in refused(tmp_path / "locked.pdf")
    assert read(tmp_path / "open.pdf")[0] == ["Secret."]


def test_without_its_package_a_pdf_is_refused_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    write_pdf(tmp_path / "a.pdf", ["Text."])
    assert refused(tmp_path / "a.pdf") == (
        f"{tmp_path / 'a.pdf'}: a PDF is read with pypdf; run: pip install 'scratchlm[pdf]'"
    )
    (tmp_path / "b.txt").write_text("good")
    texts, counts = read(tmp_path)
    assert (texts, counts.skipped) == (["good"], {"needs pypdf": 1})


def test_an_old_or_encrypted_word_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.docx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    assert "old.docx: encrypted, or of a Word before 2007; save it as .docx" in refused(tmp_path / "old.docx")
    write_docx(tmp_path / "a.docx", ["text"])
    data = bytearray((tmp_path / "a.docx").read_bytes())
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1  # what marks a member as encrypted
    (tmp_path / "a.docx").write_bytes(data)
    assert "a.docx: is encrypted" in refused(tmp_path / "a.docx")


EXPECTED = {
    "no-xml": "not a whole .docx file",
    "cut": "not a whole .docx file",
    "deep": "nested over 1,000 deep",
    "entities": "declares entities",
    "bomb": "unpacks to more than 1 MB",
    "other": None,
    "control": "not a whole .docx file",
    "no-document": "holds no word/document.xml",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_damaged_word_files_are_counted_beside_good_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scratchlm.text.office.UNPACKED_LIMIT", 1 << 20)
    write_docx(tmp_path / "bad.docx", ["text"])
    damage = {each.removeprefix("xml-"): damage for each, damage in of_docx(tmp_path / "bad.docx")}[name]
    damage(tmp_path / "bad.docx")
    expected = EXPECTED[name]
    if expected is None:
        assert "no text could be read" in refused(tmp_path / "bad.docx")
        return
    assert expected in refused(tmp_path / "bad.docx")
    (tmp_path / "good.txt").write_text("good")
    texts, counts = read(tmp_path)
    assert texts == ["good"]
    assert sum(counts.skipped.values()) + sum(counts.dropped.values()) == 1


def test_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx", ["text " * 1000])
    data = (tmp_path / "a.docx").read_bytes()
    (tmp_path / "a.docx").write_bytes(data[: len(data) // 2])
    assert "not a whole .docx file" in refused(tmp_path / "a.docx")
    assert zipfile.is_zipfile(tmp_path / "a.docx") is False
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 and no more")
    assert "a.pdf: not a readable PDF" in refused(tmp_path / "a.pdf")
