"""Files in, documents out: formats, encodings, and every kind of bad input."""

from __future__ import annotations

import errno
import gzip
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from memory import measured
from scratchlm.base.errors import UserError
from scratchlm.text.documents import Counts, Document, read_documents, unescape
from scratchlm.text.records import read_records

STORY = "Once there was a fox.\nIt was red – and shy.\n"


def read(
    *paths: Path, text_column: str | None = None, split_on: str | None = None, strict: bool = False
) -> tuple[list[Document], Counts]:
    counts = Counts()
    documents = read_documents(paths, text_column=text_column, split_on=split_on, strict=strict, counts=counts)
    return list(documents), counts


def texts(*paths: Path, **options: object) -> list[str]:
    return [document.text for document in read(*paths, **options)[0]]  # type: ignore[arg-type]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def table(path: Path, **columns: list[object]) -> Path:
    parquet.write_table(arrow.table(columns), path)
    return path


# Formats


@pytest.mark.parametrize("name", ["a.txt", "a.md", "A.TXT"])
def test_a_text_file_is_one_document(tmp_path: Path, name: str) -> None:
    documents, counts = read(write(tmp_path / name, STORY))
    assert documents == [Document(STORY, str(tmp_path / name))]
    assert (counts.files, counts.read) == (1, 1)


def test_every_format_gives_the_same_two_documents(tmp_path: Path) -> None:
    rows = [{"id": 1, "text": "one\ntwo"}, {"id": 2, "text": "три"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write(tmp_path / "a.jsonl", lines)
    write(tmp_path / "b.json", json.dumps(rows))
    write(tmp_path / "c.json", json.dumps({"version": 1, "data": rows}))
    write(tmp_path / "d.json", lines)  # one object a line under the name .json, as much published data has it
    write(tmp_path / "e.json", json.dumps([row["text"] for row in rows]))
    write(tmp_path / "f.csv", 'id,text\r\n1,"one\ntwo"\r\n2,три\r\n')
    write(tmp_path / "g.csv", 'id;text\n1;"one\ntwo"\n2;три\n')
    table(tmp_path / "h.parquet", id=[1, 2], text=["one\ntwo", "три"])
    for path in sorted(tmp_path.iterdir()):
        assert texts(path) == ["one\ntwo", "три"], path.name


def test_gzip_and_zstandard_are_undone_for_every_format(tmp_path: Path) -> None:
    plain = [
        write(tmp_path / "a.txt", STORY),
        write(tmp_path / "b.jsonl", '{"text": "b"}\n'),
        write(tmp_path / "c.json", '["c"]'),
        write(tmp_path / "d.csv", "text\nd\n"),
        table(tmp_path / "e.parquet", text=["e"]),
    ]
    for path in plain:
        data = path.read_bytes()
        zipped = write(tmp_path / f"{path.name}.gz", gzip.compress(data))
        frames = b"".join(arrow.compress(part, "zstd", asbytes=True) for part in (data[:3], data[3:]))
        assert texts(path) == texts(zipped) == texts(write(tmp_path / f"{path.name}.zst", frames))


def test_a_folder_is_read_recursively_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "c.txt"):
        write(tmp_path / name, name)
    write(tmp_path / ".hidden.txt", "no")
    write(tmp_path / ".git/x.txt", "no")
    write(tmp_path / "picture.png", b"\x89PNG")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["a/b/c.txt", "a/z.txt", "b.txt", "c.txt"]
    assert counts.skipped == {"hidden": 2, "unknown format .png": 1}
    assert counts.named["unknown format .png"] == [str(tmp_path / "picture.png")]


def test_split_on_makes_one_file_many_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n\none\n\ntwo\nlines\n\n\n\nthree\n")
    assert texts(path, split_on="\\n\\n") == ["one", "two\nlines", "three"]
    assert read(path, split_on="\\n\\n")[0][1].source == f"{path}, document 2"


def test_split_on_understands_escapes_and_refuses_nothing() -> None:
    assert unescape(r"\n\t\\n\x") == "\n\t\\n\\x"
    with pytest.raises(UserError, match="--split-on"):
        unescape("")


# Text fields


def test_the_text_column_is_text_then_content_then_the_only_string(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.jsonl", '{"content": "c", "text": "t"}')) == ["t"]
    assert texts(write(tmp_path / "b.jsonl", '{"title": "x", "content": "c"}')) == ["c"]
    assert texts(write(tmp_path / "c.jsonl", '{"id": "17", "n": 3, "review": "good"}')) == ["good"]
    assert texts(table(tmp_path / "d.parquet", number=[1], review=["good"])) == ["good"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_an_unclear_text_column_is_an_error_that_lists_the_fields(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    row = {"question": "who", "answer": "me"}
    if name == "a.parquet":
        table(path, question=["who"], answer=["me"])
    else:
        write(path, "question,answer\nwho,me\n" if name == "a.csv" else json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"question, answer.*--text-column"):
        read(path)
    assert texts(path, text_column="answer") == ["me"]


def test_in_a_folder_a_file_with_an_unclear_field_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"question": "who", "answer": "me"}')
    write(tmp_path / "b.txt", "fine")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["fine"]
    assert counts.skipped == {"no text field": 1}


def test_rows_without_the_field_are_named_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "one"}\n{"txt": "two"}\n{"text": 3}\n{"text": null}\n[1]\n"five"\n')
    documents, counts = read(path)
    assert [document.text for document in documents] == ["one", "five"]
    assert counts.dropped == {"no text field": 2, "empty": 1, "broken row": 1}
    assert "line 2" in counts.named["no text field"][0]
    assert "fields: txt" in counts.named["no text field"][0]
    assert counts.read == 2 + 4


def test_a_wrong_text_column_offers_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"story": "x"}')
    with pytest.raises(UserError, match="no field 'storry'; did you mean 'story'"):
        read(path, text_column="storry")


def test_a_table_without_header_is_read_by_column_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'ham\tsay "hi\nspam\tbuy\n')
    assert texts(path, text_column="2") == ['say "hi', "buy"]
    with pytest.raises(UserError, match="2 columns, no column 3"):
        read(path, text_column="3")


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_byte_order_marks_and_utf_16_are_read(tmp_path: Path, encoding: str) -> None:
    for name, content in (
        ("a.txt", STORY),
        ("a.jsonl", '{"text": "é"}\n'),
        ("a.json", '["é"]'),
        ("a.csv", "text\né\n"),
    ):
        path = write(tmp_path / name, content.encode(encoding))
        assert texts(path) == [STORY if name == "a.txt" else "é"]


def test_a_wrongly_encoded_file_is_named_with_the_byte(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.txt", "café".encode("latin-1") + b" noir " * 20)
    write(tmp_path / "good.txt", "good")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    assert counts.skipped == {"wrong encoding": 1}
    assert f"{bad}: not UTF-8: 0xe9 at byte 3" in counts.named["wrong encoding"][0]
    with pytest.raises(UserError, match="0xe9 at byte 3"):
        read(tmp_path, strict=True)


def test_a_break_late_in_a_long_file_leaves_the_whole_file_out(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.txt", b"word " * 1_000_000 + b"\xff")
    write(tmp_path / "good.txt", "good")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    assert f"{path}: not UTF-8: 0xff at byte 5,000,000" in counts.named["wrong encoding"][0]


def test_a_character_cut_at_the_end_of_the_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "good é".encode()[:-1])
    with pytest.raises(UserError, match="byte 5"):
        read(path)


def test_a_broken_line_spoils_only_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "one"}\n{"text": "tw\n\n{"text": "\xff"}\n{"text": "four"}')
    documents, counts = read(path)
    assert [document.text for document in documents] == ["one", "four"]
    assert counts.dropped == {"broken row": 1, "wrong encoding": 1}
    assert counts.named["broken row"][0].startswith(f"{path}, line 2: not valid JSON")
    assert counts.named["wrong encoding"][0].startswith(f"{path}, line 4")
    with pytest.raises(UserError, match="line 2"):
        read(path, strict=True)


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a\u2028b\x85c"}\r\n{"text": "d"}\r\n')
    assert texts(path) == ["a\u2028b\x85c", "d"]


def test_binary_files_are_told_from_text(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", bytes(range(256)) * 20)
    write(tmp_path / "b.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40))
    write(tmp_path / "c.jsonl", b"\x7fELF\x02\x01\x01" + bytes(500))
    write(tmp_path / "d.txt", "good")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    assert counts.skipped == {"binary": 3}


def test_nul_characters_are_removed_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "good\0 text with\0 NULs\n")
    write(tmp_path / "b.jsonl", '{"text": "a\\u0000b"}')
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good text with NULs\n", "ab"]
    assert counts.repaired == {"NUL characters removed": 3}


def test_windows_line_ends_become_line_feeds_even_across_blocks(tmp_path: Path) -> None:
    content = "x" * ((1 << 20) - 1) + "\r\nnext\r\nlast\r"
    documents, counts = read(write(tmp_path / "a.txt", content))
    assert documents[0].text == content.replace("\r\n", "\n")
    assert list(counts.repaired.values()) == [1]


# Broken files


def test_files_without_text_are_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text could be read; empty: "):
        read(write(tmp_path / "a.txt", " \n"))
    with pytest.raises(UserError, match="the files are empty"):
        read(write(tmp_path / "a.jsonl", ""))
    with pytest.raises(UserError, match=r"no text could be read; binary: .*a\.txt"):
        read(write(tmp_path / "a.txt", bytes(1000)))


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = write(tmp_path / "a.txt", "secret")
    write(tmp_path / "b.txt", "good")
    real = Path.open

    def refuse(self: Path, *arguments: object, **options: object) -> object:
        if self == secret:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *arguments, **options)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    assert counts.named["unreadable"] == [f"{secret}: no permission; change its rights or choose another folder"]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_compressed_file_is_named(tmp_path: Path, suffix: str) -> None:
    compress = gzip.compress if suffix == "gz" else partial(arrow.compress, codec="zstd", asbytes=True)
    lines = "".join(f'{{"text": "{number * 7919 % 10007} is a number"}}\n' for number in range(5000))
    whole = compress(lines.encode())
    rows = write(tmp_path / f"a.jsonl.{suffix}", whole[: len(whole) // 2])
    with pytest.raises(UserError, match="ends too early"):
        read(rows, strict=True)
    text = write(tmp_path / f"b.txt.{suffix}", whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"no text could be read; truncated: .*b\.txt"):
        read(text)
    with pytest.raises(UserError, match="cannot be decompressed"):
        read(write(tmp_path / f"c.txt.{suffix}", b"no such thing"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [arrow.array(["a"]), arrow.array(["b"])]
    parquet.write_table(arrow.Table.from_arrays(columns, names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="two columns are called 'text'; rename one"):
        read(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="two columns are called 'text'"):
        list(read_records(tmp_path / "a.parquet"))


def test_a_date_that_no_calendar_has_is_a_broken_file(tmp_path: Path) -> None:
    when = arrow.array([10**15], arrow.timestamp("ms"))
    parquet.write_table(arrow.table({"text": ["a"], "when": when}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="not a readable parquet file"):
        list(read_records(tmp_path / "a.parquet"))


def test_broken_json_csv_and_parquet_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json, line 2: not valid JSON"):
        read(write(tmp_path / "a.json", '["a",\n b]'))
    with pytest.raises(UserError, match="several lists"):
        read(write(tmp_path / "b.json", '{"x": ["1"], "y": ["2"]}'))
    with pytest.raises(UserError, match="not a readable parquet file"):
        read(write(tmp_path / "c.parquet", b"PAR1 but no more"))
    documents, counts = read(write(tmp_path / "d.csv", 'id,text\n1,good\n2\n3,"never closed\n'))
    assert [document.text for document in documents] == ["good"]
    assert counts.dropped == {"broken row": 2}
    with pytest.raises(UserError, match=r"e\.jsonl, line 1: not valid JSON"):
        read(write(tmp_path / "e.jsonl", "[" * 100_000), strict=True)


def test_a_json_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlm.text.rows.JSON_LIMIT", 100)
    with pytest.raises(UserError, match=r"use \.jsonl"):
        read(write(tmp_path / "a.json", json.dumps(["x" * 200])))
    with pytest.raises(UserError, match=r"use \.jsonl"):
        read(write(tmp_path / "a.json.gz", gzip.compress(json.dumps(["x" * 200]).encode())))


def test_at_most_ten_are_named_for_each_reason(tmp_path: Path) -> None:
    _, counts = read(write(tmp_path / "a.jsonl", '{"text": "x"}\n' + "bad\n" * 25))
    assert counts.dropped == {"broken row": 25}
    assert len(counts.named["broken row"]) == 10


def test_names_that_are_no_unicode_can_still_be_reported() -> None:
    counts = Counts()
    counts.skip("unreadable", "odd\udcff\nname.txt")
    assert counts.named == {"unreadable": ["odd\\udcff name.txt"]}


def test_a_quote_that_never_closes_does_not_swallow_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlm.text.tables.CELL_LIMIT", 1000)
    rows = "".join(f"{number},row {number}\n" for number in range(500))
    documents, counts = read(write(tmp_path / "a.csv", f'id,text\n1,"never closed\n{rows}'))
    assert documents[-1].text == "row 499"
    assert counts.dropped == {"broken row": 1}


def test_a_line_without_end_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlm.text.decoding.LINE_LIMIT", 1000)
    with pytest.raises(UserError, match="not a file of rows"):
        read(write(tmp_path / "a.jsonl", "x" * 5000))


def test_counts_can_be_saved_and_begun_anew() -> None:
    counts = Counts(read=3, notes=["x"], dropped={"empty": 1})
    assert json.loads(json.dumps(asdict(counts)))["dropped"] == {"empty": 1}
    counts.reset()
    assert counts == Counts()


# Memory


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_peak_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long{suffix}"
    line = "It was a bright cold day in April, and the clocks were striking thirteen. " * 14
    with path.open("w", encoding="utf-8") as file:
        for _ in range(320):
            file.write(f'{{"text": "{line}"}}\n' * 1000 if suffix == ".jsonl" else line * 1000)
    assert path.stat().st_size > 300_000_000
    script = (
        "from scratchlm.text.clean import clean\n"
        "from scratchlm.text.config import CleanConfig\n"
        "from scratchlm.text.documents import Counts, read_documents\n"
        "counts = Counts()\n"
        "documents = read_documents([Path(sys.argv[1])], text_column=None, split_on=None, strict=True, counts=counts)\n"
        "for _ in clean(documents, CleanConfig(deduplicate=False), counts):\n"
        "    pass\n"
        "print(counts.characters, peak())\n"
    )
    characters, peak = measured(script, path)
    assert characters > 300_000_000
    assert peak < 150e6
