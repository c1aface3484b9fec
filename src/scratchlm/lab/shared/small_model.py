"""The small model of an experiment: a tokenizer and a model pretrained on a text, and the same from random weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scratchlm.base.device import DtypeName
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_text
from scratchlm.base.reading import require_plain
from scratchlm.data.prepare import prepare
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.steps import Steps
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import PrepareConfig
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

HELD_OUT = 0.06
"""Fraction of the documents that is held out from training."""
DEPTH = 4
"""Depth of the recipe of the small model."""
LEAST_BYTES, BYTES_A_TOKEN = 1_000_000, 4
"""Text that is prepared: at least this many bytes, and this many per token that is read."""


@dataclass(frozen=True)
class SmallModel:
    """A small model: its data, its pretraining run and its shape, in the folder of an experiment."""

    data: Path
    """Token shards, as `scratchlm prepare` writes them."""
    run: Path
    """Folder of the pretraining run."""
    shape: DecoderConfig
    seed: int
    seconds: float
    """Duration of pretraining."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer trained on the text."""
        return load_tokenizer(self.data)

    def random(self) -> SavedModel:
        """Return a new model with random weights."""
        return SavedModel(build_decoder(self.shape, self.seed), self.tokenizer)

    def pretrained(self) -> SavedModel:
        """Return a new copy of the pretrained model."""
        return load_model(find_model(self.run))

    def report(self, out: Findings) -> None:
        """Add the duration of pretraining, which the training times of methods leave out."""
        out.timings["pretraining.seconds"] = self.seconds
        out.notes.append("training times leave out pretraining, which happens once for each seed (pretraining.seconds)")


def prepare_text(source: Path, size: int, vocabulary_size: int, steps: Steps, name: str = "text") -> Path:
    """Prepare `size` bytes of the beginnings of texts, or find an earlier preparation; return the data folder.

    `name` is that of the folder and of the step, where an experiment prepares several texts.
    """
    data = steps.folder / name

    def cut() -> dict[str, Any]:
        text = str(write_texts(steps.file(f"{name}.jsonl"), pieces_of_books(source, size)))
        split = f"hash:{HELD_OUT}"
        made = prepare(PrepareConfig((text,), data, split=split, vocabulary_size=vocabulary_size, force=True))
        return {"tokens": made.tokens["train"], "bytes": made.bytes}

    steps.once(name, cut)
    return data


def prepare_small_model(source: Path, vocabulary_size: int, steps_trained: int, seed: int, steps: Steps) -> SmallModel:
    """Prepare as much text as `steps_trained` steps read about once, and pretrain the default recipe on it.

    Finished steps are not run again. Seeds share the prepared text.
    """
    data = prepare_text(source, text_size(steps_trained), vocabulary_size, steps.shared)
    return pretrain_small_model(data, steps_trained, seed, steps)


def text_size(steps_trained: int, depth: int = DEPTH, **batch: Any) -> int:
    """Return how many bytes of text these training steps read about once, at least a million."""
    training = replace(load_recipe("default", depth).training, **batch)
    return max(LEAST_BYTES, BYTES_A_TOKEN * steps_trained * training.batch_size * training.sequence_length)


def pretrain_small_model(
    data: Path, steps_trained: int, seed: int, steps: Steps, name: str = "pretrained", depth: int = DEPTH,
    dtype: DtypeName = "fp32", **batch: Any,
) -> SmallModel:  # fmt: skip
    """Pretrain the default recipe on prepared text, or find the finished run; `name` is its folder and its step.

    `batch` holds what differs from the recipe: `batch_size`, `sequence_length`.
    """
    run, recipe = steps.folder / name, load_recipe("default", depth)
    training = replace(recipe.training, steps=steps_trained, evaluate_every=0, sample_every=0, **batch)

    def train() -> dict[str, Any]:
        if (run / "checkpoints").exists():
            config = PretrainConfig(resume=run, threads=steps.threads)
        else:
            config = PretrainConfig(
                "default", (data,), run, depth=depth, model=recipe.model, training=training, seed=seed, dtype=dtype,
                device="cpu", threads=steps.threads, force=True,
            )  # fmt: skip
        result = pretrain(config)
        return {**result.as_dict(), "out": Path(result.out).name}

    trained = steps.once(name, train)
    shape = replace(recipe.model, vocabulary_size=load_tokenizer(data).vocabulary_size)
    return SmallModel(data, run, shape, seed, trained["seconds"])


def pieces_of_books(path: Path, size: int) -> list[str]:
    """Return the beginning of each text of a JSON lines file, `size` bytes in all; all have one length or are whole.

    Many beginnings instead of a few whole books allow whole books to be held out. Raises `UserError` with the first
    line that holds no text.
    """
    texts = []
    require_plain(path)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: no JSON object with a text ({error}); fix or remove it") from error
        texts.append(str(text).encode("utf-8", "replace"))
    if not texts:
        raise UserError(f"{path}: holds no text; notes/data.md describes the file")
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
