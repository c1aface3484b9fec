"""Our own small model for an experiment: a tokenizer and a pretraining on a text, and the same from random weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import write_text
from scratchlm.base.reading import require_plain
from scratchlm.data.prepare import prepare
from scratchlm.lab.harness.outcome import Outcome
from scratchlm.lab.harness.steps import Steps
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.runs.config import PretrainConfig
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.runs.pretrain import PretrainResult, pretrain
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import PrepareConfig
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

BOOKS = "pretrain/books.jsonl"
"""The text that our models read, in the data folder."""


HELD_OUT = 0.06
"""Share of its documents that pretraining does not read."""
LEAST_BYTES, BYTES_A_TOKEN = 1_000_000, 4
"""How much of it is prepared."""


@dataclass(frozen=True)
class Ours:
    """What was prepared and trained in the folder of an experiment."""

    data: Path
    """Token shards, as `scratchlm prepare` writes them."""
    run: Path
    """The run that pretrained."""
    shape: DecoderConfig
    seed: int
    seconds: float
    """How long pretraining took."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that was trained on the text."""
        return load_tokenizer(self.data)

    def random(self) -> SavedModel:
        """Return a new model with random weights."""
        return SavedModel(build_decoder(self.shape, self.seed), self.tokenizer)

    def pretrained(self) -> SavedModel:
        """Return a new copy of the pretrained model."""
        return load_model(find_model(self.run))

    def tell(self, outcome: Outcome) -> None:
        """Tell what pretraining took, which stands before the last training of a rung."""
        outcome.timings["pretraining.seconds"] = self.seconds
        outcome.notes.append(f"pretraining took {self.seconds:.0f} s, once; seconds of training are what came after it")


def prepare_ours(
    source: Path,
    vocabulary_size: int,
    steps_trained: int,
    seed: int,
    steps: Steps,
    depth: int = 4,
    *,
    rows: int | None = None,
    length: int | None = None,
) -> Ours:
    """Prepare as much of a text as some steps read about once, and pretrain our default recipe on it.

    A step reads `rows` rows of `length` tokens, by default what the recipe says. What was done before is taken.
    """
    data, run = steps.folder / "text", steps.folder / "pretrained"
    recipe = load_recipe("default", depth)
    training = replace(
        recipe.training,
        steps=steps_trained,
        batch_size=rows or recipe.training.batch_size,
        sequence_length=length or recipe.training.sequence_length,
        evaluate_every=0,
        sample_every=0,
    )
    size = max(LEAST_BYTES, BYTES_A_TOKEN * steps_trained * training.batch_size * training.sequence_length)

    def cut() -> dict[str, Any]:
        text = str(write_texts(steps.file("books.jsonl"), pieces_of_books(source, size)))
        made = prepare(
            PrepareConfig((text,), data, split=f"hash:{HELD_OUT}", vocabulary_size=vocabulary_size, force=True)
        )
        return {"tokens": made.tokens["train"], "bytes": made.bytes}

    def train() -> dict[str, Any]:
        begun = (run / "checkpoints").exists()
        if begun:
            return _told(pretrain(PretrainConfig(resume=run, threads=steps.threads)))
        config = PretrainConfig(
            "default",
            data,
            run,
            depth=depth,
            model=recipe.model,
            training=training,
            seed=seed,
            dtype="fp32",
            device="cpu",
            threads=steps.threads,
            force=True,
        )
        return _told(pretrain(config))

    steps.once("text", cut)
    found = steps.once("pretrained", train)
    shape = replace(recipe.model, vocabulary_size=load_tokenizer(data).vocabulary_size)
    return Ours(data, run, shape, seed, found["seconds"])


def _told(found: PretrainResult) -> dict[str, Any]:
    """Return what a run found, with its folder by name."""
    return {**found.as_dict(), "out": Path(found.out).name}


def pieces_of_books(path: Path, size: int) -> list[str]:
    """Return the beginnings of all texts of a file of JSON lines, equally long but for short ones, `size` bytes in all.

    Many books, not a few whole ones, so that books can be held out. Raises `UserError` with the line that is no text.
    """
    texts = []
    require_plain(path)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: no JSON object with a text ({error}); mend or remove it"
            ) from error
        texts.append(str(text).encode("utf-8", "replace"))
    if not texts:
        raise UserError(f"{path}: holds no text; notes/data.md tells what belongs there")
    left, longest = size, max(map(len, texts))
    for count, length in zip(range(len(texts), 0, -1), sorted(map(len, texts)), strict=True):
        if length * count >= left:
            longest = left // count
            break
        left -= length
    return [text[:longest].decode("utf-8", "ignore") for text in texts if text[:longest].strip()]


def write_texts(path: Path, texts: Iterable[str]) -> Path:
    """Write texts as JSON lines, one document each, as `prepare` reads them."""
    write_text(path, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    return path
