"""Shards: they round-trip, damage is refused, and many are read as one."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.data.shards import Shard, ShardSet, ShardWriter, token_dtype
from scratchlm.tokens.fast import FastBPE
from scripts import SCRIPTS

PRINT = "ab" * 32
Documents = list[list[int]]


def write(path: Path, documents: Documents, vocabulary_size: int = 1_000, fingerprint: str = PRINT) -> Path:
    with ShardWriter(path, fingerprint, vocabulary_size) as writer:
        for document in documents:
            writer.add_document(document)
    return path


def write_and_fail(path: Path, error: BaseException) -> None:
    with ShardWriter(path, PRINT, 1_000) as writer:
        writer.add_document([3])
        raise error


@settings(deadline=None, max_examples=60, database=None, derandomize=True)
@given(documents=st.lists(st.lists(st.integers(0, 999), max_size=9), max_size=6), wide=st.booleans())
def test_what_is_written_is_read_back(
    documents: Documents, wide: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size = 65_537 if wide else 1_000
    shard = Shard.open(write(tmp_path_factory.mktemp("shard") / "a.tokens", documents, size))
    shard.verify()
    ends = np.cumsum([len(document) for document in documents], dtype=int).tolist()
    assert shard.tokens.tolist() == [id for document in documents for id in document]
    assert shard.document_offsets.tolist() == [0, *ends][: len(documents)]
    assert (len(shard), shard.fingerprint, shard.vocabulary_size) == (len(shard.tokens), PRINT, size)


@pytest.mark.parametrize(("size", "width"), [(256, 2), (65_536, 2), (65_537, 4), (100_277, 4)])
def test_ids_take_two_bytes_up_to_65536_and_four_beyond(size: int, width: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[0, size - 1]], size)
    shard = Shard.open(path)
    assert token_dtype(size).itemsize == shard.tokens.dtype.itemsize == width
    assert shard.tokens.tolist() == [0, size - 1]
    assert path.stat().st_size == 256 + 8 + 8


@pytest.mark.parametrize("id", [-1, 1_000, 70_000])
def test_an_id_outside_the_vocabulary_is_refused_and_leaves_no_file(id: int, tmp_path: Path) -> None:
    for ids in ([5, id], np.array([5, id])):
        with pytest.raises(UserError, match=f"token id {id} is outside the vocabulary of 1,000"):
            write(tmp_path / "a.tokens", [[1], ids])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())


def test_ids_are_mapped_and_not_loaded(tmp_path: Path) -> None:
    shard = Shard.open(write(tmp_path / "a.tokens", [[1, 2, 3]]))
    assert isinstance(shard.tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        shard.tokens[0] = 9


def test_chunks_of_one_document_start_it_once_also_across_shards(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "0.tokens", PRINT, 1_000) as writer:
        writer.add_document(np.array([1, 2], dtype=np.uint32))
        writer.add_chunk([3], continued=True)
        writer.add_chunk([4, 5], continued=False)
        assert writer.token_count == 5
    with ShardWriter(tmp_path / "1.tokens", PRINT, 1_000) as writer:
        writer.add_chunk([6], continued=True)
        writer.add_document([7])
    shards = ShardSet.open(tmp_path)
    assert shards.shards[1].document_offsets.tolist() == [1]
    assert shards.document_starts.tolist() == [0, 3, 6]


@pytest.mark.parametrize("place", [0, 9, 13, 20, 35, 50, 100, 130, 140, 167])
def test_an_altered_header_is_refused(place: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[1, 2, 3], [4]])
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="not a token shard" if place < 8 else "header is truncated or altered"):
        Shard.open(path)


@pytest.mark.parametrize("length", [0, 5, 8, 100, 255, 256, 260, -8, -1])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[1, 2, 3], [4]])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"a\.tokens: .*prepare the data again"):
        Shard.open(path)


def test_a_longer_file_and_altered_document_starts_and_ids_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[1, 2, 3], [4]])
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="281 bytes where its header says 280"):
        Shard.open(path)
    path.write_bytes(whole[:-8] + b"\1" + whole[-7:])
    with pytest.raises(UserError, match="document starts are altered"):
        Shard.open(path)
    path.write_bytes(whole[:258] + b"\7" + whole[259:])
    shard = Shard.open(path)
    with pytest.raises(UserError, match="its ids are altered"):
        shard.verify()


def test_a_file_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tokens").write_text("The Project Gutenberg eBook " * 40)
    with pytest.raises(UserError, match="not a token shard"):
        Shard.open(tmp_path / "a.tokens")
    with pytest.raises(UserError, match="no such file"):
        Shard.open(tmp_path / "b.tokens")


def test_an_interrupted_writer_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[1, 2]])
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(path, KeyboardInterrupt())
    assert Shard.open(path).tokens.tolist() == [1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_line_and_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tokens", [[1, 2]])
    with pytest.raises(UserError, match="the disk is full"):
        write_and_fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert Shard.open(path).tokens.tolist() == [1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_set_reads_as_one_sequence_across_the_borders_of_its_shards(tmp_path: Path) -> None:
    ids = list(range(50))
    for place, (start, stop) in enumerate([(0, 7), (7, 7), (7, 8), (8, 30), (30, 50)]):
        write(tmp_path / f"train-{place:05}.tokens", [ids[start:stop]])
    write(tmp_path / "validation-00000.tokens", [[900]])
    shards = ShardSet.open(tmp_path, "train")
    assert len(shards) == 50
    for start in range(51):
        for stop in range(start, 51):
            assert shards.read(start, stop).tolist() == ids[start:stop]
    assert shards.read(0, 50).dtype == np.uint16
    assert len(ShardSet.open(tmp_path, "validation")) == 1
    for start, stop in ((-1, 3), (0, 51), (5, 4)):
        with pytest.raises(IndexError):
            shards.read(start, stop)


def test_a_set_knows_where_documents_start(tmp_path: Path) -> None:
    write(tmp_path / "0.tokens", [[1, 2], [3]])
    write(tmp_path / "1.tokens", [])
    write(tmp_path / "2.tokens", [[4], [5, 6]])
    assert ShardSet.open(tmp_path).document_starts.tolist() == [0, 2, 3, 4]


def test_data_and_tokenizer_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = FastBPE.train(list(SCRIPTS.values()), 300)
    two = FastBPE.train(list(SCRIPTS.values()), 301)
    write(tmp_path / "0.tokens", [one.encode("hello")], one.vocabulary_size, one.fingerprint)
    shards = ShardSet.open(tmp_path, tokenizer=one)
    assert one.decode(shards.read(0, len(shards))) == "hello"
    fault = f"made with tokenizer {one.fingerprint[:12]}, but the tokenizer given is {two.fingerprint[:12]}"
    with pytest.raises(UserError, match=f"{fault}; give the tokenizer that made the data"):
        ShardSet.open(tmp_path, tokenizer=two)
    write(tmp_path / "1.tokens", [[5]], two.vocabulary_size, two.fingerprint)
    with pytest.raises(UserError, match=r"1\.tokens: made with tokenizer"):
        ShardSet.open(tmp_path)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no train\*\.tokens"):
        ShardSet.open(tmp_path, "train")
    with pytest.raises(UserError, match="no such folder"):
        ShardSet.open(tmp_path / "absent")
    with pytest.raises(UserError, match="no token shards"):
        ShardSet([])


def test_empty_and_unequal_shards_are_read_as_one_sequence(tmp_path: Path) -> None:
    rows = [list(range(at, at + size)) for at, size in ((0, 0), (0, 7), (7, 0), (7, 0), (7, 1), (8, 40), (48, 0))]
    for number, row in enumerate(rows):
        write(tmp_path / f"train-{number}.tokens", [row] if row else [])
    shards = ShardSet.open(tmp_path, "train")
    assert len(shards) == 48
    for start in range(49):
        for stop in range(start, 49):
            assert shards.read(start, stop).tolist() == list(range(start, stop))
    assert shards.document_starts.tolist() == [0, 7, 8]
