"""`scratchlm timelapse`: train a byte model on a text and write a page that replays its training.

timelapse.html   the page; one file that loads nothing
timelapse.svg    five of its moments as a picture
timelapse.json   their data, from which `python -m scratchlm.tours.timelapse.pages` draws both again
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scratchlm.base.device import DTYPES, choose_device, chosen_dtype, set_threads
from scratchlm.base.errors import UserError
from scratchlm.base.folders import atomic_folder
from scratchlm.base.outputs import output_folder
from scratchlm.base.result import Result
from scratchlm.base.signals import stop_on_signals
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.model.decoder import build_decoder
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import DEFAULT_SPECIALS, trained_vocabulary
from scratchlm.tours.quickstart.text import QuickstartText, users_corpus
from scratchlm.tours.timelapse.config import TimelapseConfig
from scratchlm.tours.timelapse.frames import Lapse, Watch, moments, symbols, write_lapse
from scratchlm.tours.timelapse.pages import write_pages
from scratchlm.training.config import ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.progress import TrainingProgress

KIND = "time-lapse"
"""Kind in the marker of the folder."""
DATA_FILE, PAGE_FILE, PICTURE_FILE = "timelapse.json", "timelapse.html", "timelapse.svg"
ROWS = 8
"""Rows of a step: small steps, so that the beginning of training is shown finely."""
LONGEST_ROW = 256
READINGS = 4
"""How many times more text is read than the training needs, so that hardly a byte is learned from twice."""
LEAST_BYTES = 10_000_000
SCORED = 8192
"""Held-out bytes that are scored at each moment."""
WRITTEN = 160
"""Bytes that the model writes at each moment."""


@dataclass(frozen=True, repr=False)
class TimelapseResult(Result):
    """Where the pages are, and where the training ended."""

    out: str
    page: str
    picture: str
    frames: int
    steps: int
    parameters: int
    loss: float
    """On held-out text after the last step, in nats a byte."""
    seconds: float

    def __rich__(self) -> str:
        return (
            f"{self.page}: {self.frames} moments of {self.steps:,} steps, {self.parameters:,} parameters, "
            f"held-out loss {self.loss:.3f} nats per byte, {self.seconds:.0f} s; open it in a browser"
        )


def timelapse(config: TimelapseConfig) -> TimelapseResult:
    """Train on the bytes of `config.source` and write the page, the picture and their data into `config.out`.

    A run with the same settings, threads and machine writes the same moments. Raises `UserError` for a taken `out` and
    for a source that is missing or too short, and `Interrupted` after Ctrl-C, with nothing written.
    """
    started = time.perf_counter()
    sources = (Path(config.source),) if Path(config.source).exists() else ()
    with output_folder(config.out, KIND, force=config.force, sources=sources, whole=True):
        lapse = train(config)
        with atomic_folder(config.out, KIND) as folder:
            write_lapse(folder / DATA_FILE, lapse)
            write_pages(lapse, folder / PAGE_FILE, folder / PICTURE_FILE)
    page, picture = (str(config.out / name) for name in (PAGE_FILE, PICTURE_FILE))
    seconds, last = time.perf_counter() - started, lapse.frames[-1]
    return TimelapseResult(
        str(config.out), page, picture, len(lapse.frames), lapse.steps, lapse.parameters, last.loss, seconds
    )


def train(config: TimelapseConfig) -> Lapse:
    """Train a byte model and return what was seen of it on the way."""
    set_threads(config.threads)
    shape, training = at_depth(config.depth)
    length = min(LONGEST_ROW, shape.context)
    most = max(LEAST_BYTES, READINGS * config.steps * ROWS * length)
    corpus = users_corpus(config.source, config.text_column, config.seed, most)
    tokenizer = FastBPE(trained_vocabulary([], QWEN2, DEFAULT_SPECIALS))  # without merges: a token is a byte
    passage, (learned, scored) = _passage(corpus.held_out, tokenizer, config.passage), _ids(corpus, tokenizer)
    length = min(length, len(learned) - 2)
    training = replace(
        training, steps=config.steps, batch_size=ROWS, sequence_length=length,
        schedule=ScheduleConfig(warmup_steps=min(20, config.steps)),
    )  # fmt: skip
    decoder = build_decoder(replace(shape, vocabulary_size=tokenizer.vocabulary_size), config.seed)
    source = Path(config.source).name if Path(config.source).exists() else config.source
    lapse = Lapse(
        source, config.prompt, symbols(tokenizer), passage, decoder.parameter_count(), ROWS * length, config.steps
    )
    looks = moments(config.steps, config.frames)
    watch = Watch(lapse, tokenizer, scored[:SCORED], looks, characters=WRITTEN, seed=config.seed)
    dtype = chosen_dtype(config.dtype, choose_device("cpu")).dtype
    batches = WindowBatches(ArrayTokens(learned), ROWS, length, config.seed)
    loop = Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=DTYPES[dtype], seed=config.seed))
    with stop_on_signals() as stop, TrainingProgress("timelapse", config.steps) as progress:
        fit(loop, hooks=[watch], watcher=progress, stop=stop)
    return lapse


def _ids(corpus: QuickstartText, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids to learn from and those held out, each document with an end. Raises `UserError` for too few."""
    assert tokenizer.end_of_text is not None
    sides = []
    for texts in (corpus.train, corpus.held_out):
        ids = [np.append(each, tokenizer.end_of_text).astype(np.int64) for each in tokenizer.encode_batch(texts)]
        sides.append(np.concatenate(ids))
    if len(sides[0]) < 4 * ROWS:
        raise UserError(f"{len(sides[0])} bytes are too few to train on; give a longer text")
    return sides[0], sides[1]


def _passage(texts: list[str], tokenizer: Tokenizer, size: int) -> list[int]:
    """Return the first `size` bytes from the first paragraph in the middle of the held-out text that is so long.

    Where none is, the end of the held-out text; raises `UserError` where that is shorter.
    """
    paragraphs = [part.strip() for text in texts for part in text.split("\n\n")]
    order = [*paragraphs[len(paragraphs) // 2 :], *paragraphs, "\n".join(texts)]
    for part in order:
        raw = " ".join(part.split())
        if raw.isascii() and len(raw) >= size:
            return tokenizer.encode(raw[:size])
    ids = tokenizer.encode("\n".join(texts))
    if len(ids) < size:
        raise UserError(
            f"--passage {size}: only {len(ids)} bytes are held out; give a longer text, or --passage {len(ids)}"
        )
    return ids[-size:]
