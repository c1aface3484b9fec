"""The documents of a skipped batch are found in the shards that it was read from, the worst first."""

from __future__ import annotations

from pathlib import Path

import torch

from scratchlm.data.batches import Batch
from scratchlm.data.shards import ShardSet, ShardWriter
from scratchlm.pretraining.skipped import NAMED, documents_in
from toys import BYTE_VOCABULARY, byte_tokenizer

TEXTS = ("the first", "a second text", "the third one", "x", "the fifth", "and a sixth", "the last of all")


def written(folder: Path) -> ShardSet:
    """Two shards of these texts, each behind an end of text."""
    tokenizer, paths = byte_tokenizer(), [folder / "a.tokens", folder / "b.tokens"]
    for path, texts in zip(paths, (TEXTS[:3], TEXTS[3:]), strict=True):
        with ShardWriter(path, tokenizer.fingerprint, BYTE_VOCABULARY) as writer:
            for text in texts:
                writer.add_document([tokenizer.end_of_text, *tokenizer.encode(text)])
    return ShardSet.open(folder)


def test_documents_are_named_by_number_loss_and_beginning(tmp_path: Path) -> None:
    shards = written(tmp_path)
    begins = shards.document_starts.tolist()
    length = 20  # of a row that begins in the first text and ends in the third, and one that crosses shards
    starts = [4, begins[3] - 5]
    ids = torch.stack([torch.from_numpy(shards.read(at, at + length).astype("int64")) for at in starts])
    losses = torch.full((2, length), 2.0)
    losses[0, begins[1] - starts[0] - 1 : begins[2] - starts[0] - 1] = 9.0  # of the second text's tokens
    losses[1, begins[3] - starts[1] - 1 : begins[4] - starts[1] - 1] = float("nan")
    told = documents_in(shards, byte_tokenizer())(Batch(ids, ids, starts=torch.tensor(starts)), losses)
    found = told["documents"]
    assert told["starts"] == starts
    assert len(found) == NAMED
    assert [(each["number"], each["loss"]) for each in found[:3]] == [(3, None), (1, 9.0), (0, 2.0)]
    assert found[0]["text"].endswith("x")
    assert found[1]["text"].endswith("a second text")
    assert found[1]["tokens"] == begins[2] - begins[1]
    assert found[2]["text"] == "first"  # the row begins inside of it
