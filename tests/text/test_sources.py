"""Sources by name and by path: where they come from, what is checked, and what a user reads when one is missing."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from scratchlm.base.errors import UserError
from scratchlm.text import catalogue, sources
from scratchlm.text.catalogue import CATALOGUE, Source
from scratchlm.text.counts import Counts
from scratchlm.text.sources import fetch, open_source, parse_size, read_source, strip_gutenberg

SMALL = Source("small", "a test", "CC0-1.0", ("https://nowhere.invalid/small.txt",), "small.txt")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("NO_PROXY", "*")


def texts(spec: str, **options: object) -> list[str]:
    return [document.text for document in open_source(spec, **options).documents(Counts())]  # type: ignore[arg-type]


def test_every_source_states_licence_address_and_a_readable_format() -> None:
    for source in [*CATALOGUE.values(), catalogue.gutenberg("1342")]:
        assert source.licence
        assert source.urls
        assert all(url.startswith("https://") for url in source.urls)
        assert sources.format_of(Path(source.filename)) is not None
        assert source.sha256 is None or len(source.sha256) == 64


def test_a_path_is_read_with_its_options_and_described(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "one", "a": "two"}', encoding="utf-8")
    opened = open_source(str(tmp_path), text_column="a")
    for _ in range(2):  # the stream can be restarted
        assert [document.text for document in opened.documents(Counts())] == ["two"]
    entry = opened.manifest()
    assert entry["text_column"] == "a"
    assert entry["files"][0]["sha256"] == hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest()
    json.dumps(entry)


def test_an_unknown_name_offers_the_nearest_and_the_list() -> None:
    with pytest.raises(UserError, match=r"did you mean 'shakespeare'.*storyworld, stdlib, tinystories"):
        open_source("shakspeare")
    with pytest.raises(UserError, match="did you mean 'storyworld'"):
        open_source("storyworlds:3MB")


def test_a_misspelt_path_is_a_missing_file() -> None:
    for spec in ("stories.txt", "data/stories", "data/"):
        with pytest.raises(UserError, match="no such file or folder"):
            texts(spec)


def test_without_a_network_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source shakespeare: .*raw\.githubusercontent.*--from-local FILE"):
        open_source("shakespeare", cache=tmp_path)


def test_a_local_copy_is_checked_where_the_hash_is_known(tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_text("not Shakespeare", encoding="utf-8")
    with pytest.raises(UserError, match=r"copy\.txt: its SHA-256 is .* is expected; name the right file"):
        open_source("shakespeare", from_local=copy)
    assert texts("gutenberg:11", from_local=copy) == ["not Shakespeare"]
    with pytest.raises(UserError, match="no such file"):
        open_source("gutenberg:11", from_local=tmp_path / "none.txt")
    with pytest.raises(UserError, match="goes with a named source"):
        open_source(str(copy), from_local=copy)


def test_the_shared_shakespeare_is_the_known_file() -> None:
    folder = os.environ.get("SCRATCHLM_DATA")
    if not folder:
        pytest.skip("SCRATCHLM_DATA names no folder of real data")
    path = Path(folder) / "pretrain" / "tinyshakespeare.txt"
    opened = open_source("shakespeare", from_local=path)
    assert path.stat().st_size == CATALOGUE["shakespeare"].size
    assert next(opened.documents(Counts())).text.startswith("First Citizen:")


def test_the_first_download_records_the_hash_and_later_ones_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def give(urls: tuple[str, ...], target: Path, *, sha256: str | None, **options: object) -> str:
        asked.append(sha256)
        target.write_text("once upon a time", encoding="utf-8")
        return hashlib.sha256(target.read_bytes()).hexdigest()

    monkeypatch.setattr(sources, "download", give)
    path, first = fetch(SMALL, from_local=None, cache=tmp_path)
    record = json.loads((tmp_path / "small.txt.json").read_text(encoding="utf-8"))
    assert (record["sha256"], record["size"], record["licence"]) == (first, 16, "CC0-1.0")
    assert fetch(SMALL, from_local=None, cache=tmp_path) == (path, first)
    path.unlink()
    fetch(SMALL, from_local=None, cache=tmp_path)
    assert asked == [None, first]
    path.write_text("altered", encoding="utf-8")
    with pytest.raises(UserError, match="changed since it was fetched; delete it"):
        fetch(SMALL, from_local=None, cache=tmp_path)


def test_sizes_are_read_and_nonsense_refused() -> None:
    assert [parse_size(text, "x") for text in ("20MB", "1.5k", "3 gb", "77", "5B")] == [
        20_000_000,
        1500,
        3 * 10**9,
        77,
        5,
    ]
    for text in ("", "0", "-3MB", "MB", "1TB", "x"):
        with pytest.raises(UserError, match=r"storyworld: .* is no size"):
            parse_size(text, "storyworld")
    with pytest.raises(UserError, match="storyworld:"):
        open_source("storyworld:")


def test_storyworld_is_reproducible_by_seed() -> None:
    pytest.importorskip("scratchlm.storyworld")
    stories = texts("storyworld:20KB")
    assert 10_000 < sum(map(len, stories)) < 40_000
    assert texts("storyworld:20KB") == stories
    assert texts("storyworld:20KB", seed=1) != stories


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "1.5", "²"])
def test_a_wrong_book_number_is_refused(number: str) -> None:
    with pytest.raises(UserError, match="a book number is needed"):
        open_source(f"gutenberg:{number}")


def test_the_gutenberg_licence_is_removed(tmp_path: Path) -> None:
    begin, end = "*** START OF THE PROJECT GUTENBERG EBOOK A\nB ***", "*** END OF THE PROJECT GUTENBERG EBOOK A ***"
    book = f"Header\n{begin}\n\n\nIt was.\n\n\n{end}\nTerms"
    assert strip_gutenberg(book) == "It was."
    assert strip_gutenberg(book.replace("THE PROJECT", "THIS PROJECT")) == "It was."
    assert strip_gutenberg("no marks") == "no marks"
    (tmp_path / "pg5.txt").write_bytes(book.replace("\n", "\r\n").encode())
    counts = Counts()
    documents = list(read_source(catalogue.gutenberg("5"), tmp_path / "pg5.txt", counts))
    assert [document.text for document in documents] == ["It was."]
    assert (counts.files, counts.read) == (1, 1)


def test_wikitext_lines_are_joined_into_articles(tmp_path: Path) -> None:
    lines = ["", " = One = \n", "", " First . \n", " = = Part = = \n", " Second . \n", " = Two = \n", " Third . \n"]
    parquet.write_table(arrow.table({"text": lines}), tmp_path / "w.parquet")
    counts = Counts()
    documents = list(read_source(CATALOGUE["wikitext"], tmp_path / "w.parquet", counts))
    assert [document.text for document in documents] == [
        " = One = \n First . \n = = Part = = \n Second . \n",
        " = Two = \n Third . \n",
    ]
    assert (counts.read, counts.dropped) == (2, {})


def test_stories_in_one_text_file_are_separated(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("One.\n<|endoftext|>\n\nTwo.\n<|endoftext|>\n", encoding="utf-8")
    assert texts("tinystories", from_local=path) == ["One.", "Two."]
