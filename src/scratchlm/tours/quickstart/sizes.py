"""What a quickstart can do in its minutes on this machine: how large a model, on how much text, asked how much.

A short probe times three of its shapes, which gives the speeds of the others. For a text of one's own the law of
`pretraining.scaling_law` chooses the shape. For the embedded corpus the facts of its stories decide: a model must read
them often enough to answer, so the largest is taken that reads enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scratchlm.base.device import DTYPES, DtypeName, choose_device, chosen_dtype
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder, outline
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.pretraining.scaling_law import loss_law
from scratchlm.tours.quickstart.text import QuickstartText
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.probing import step_time

VOCABULARY = 3072
"""Tokens of the vocabulary that speeds are measured with."""
ROWS, LENGTH = 6, 256
"""Rows of a step of pretraining, and tokens of a row, which are the context too."""
SHAPES = ((2, 64), (2, 96), (2, 128), (3, 128), (4, 128), (5, 160), (6, 192))
"""Layers and widths to choose from. In minutes, two wide layers learn more than the narrow shapes of depth scaling."""
TIMED = ((2, 128), (2, 64), (4, 128))
"""Shapes that are timed."""
SIZE_COUNTS = 1.25
"""How much more the size counts than in the scaling law, which was fitted to narrower shapes."""
FACTS = {(2, 96): 1.0e6, (2, 128): 1.3e6, (3, 128): 1.8e6, (4, 128): 2.8e6}
"""Tokens of the embedded corpus that a shape must read before it answers better than a smaller one."""


@dataclass(frozen=True)
class Speed:
    """A shape of the quickstart and how fast it trains here."""

    layers: int
    width: int
    weights: int
    """Weights of the matrices inside blocks: the size in the law of loss."""
    tokens_per_second: float


@dataclass(frozen=True)
class QuickstartSize:
    """What is trained: how large a model, in which dtype, until when."""

    speed: Speed
    dtype: DtypeName
    until: float
    """Seconds after the beginning at which pretraining ends."""
    sentences: int
    questions: int

    def sentence(self, minutes: float, corpus: QuickstartText, left: float) -> str:
        """Say what the run will do in its time."""
        tokens = left * self.speed.tokens_per_second
        what = [
            f"{self.speed.layers} layers of width {self.speed.width} in {self.dtype}",
            f"about {max(1, int(tokens / (ROWS * LENGTH))):,} steps of pretraining ({tokens / 1e6:.1f} million tokens)",
        ]
        if corpus.conversations:
            asked = min(self.questions, len(corpus.questions))
            what += [f"fine-tuning on {len(corpus.conversations):,} conversations", f"{asked} questions"]
        if corpus.grammatical:
            what.append(f"{self.sentences} sentences")
        return f"{minutes:g} minutes: {', '.join(what)}"


def shape_of(layers: int, width: int, vocabulary_size: int, context: int = LENGTH) -> DecoderConfig:
    """Return a Qwen3-shaped model, as those of depth scaling; what it exports to, this exports to."""
    head_dim = 64 if width % 128 == 0 else 32
    return qwen3_shaped(vocabulary_size, width=width, layers=layers, context=context, head_dim=head_dim)


def training_of(width: int, length: int = LENGTH) -> TrainingConfig:
    """Return how a model of this width is pretrained: as depth scaling says, in smaller steps and so more of them."""
    _, training = at_depth(4)
    adam = AdamWConfig(learning_rate=round(0.02 * (128 / width) ** 0.5, 5), weight_decay=0.0)
    optimizer = MuonConfig(learning_rate=0.02, momentum=0.9, adam=adam)
    return dataclasses.replace(
        training,
        batch_size=ROWS,
        sequence_length=length,
        optimizer=optimizer,
        log_every=10,
        evaluate_every=0,
        checkpoint_every=0,
    )


def measure_speeds(dtype: DtypeName, seed: int, budget: float) -> tuple[DtypeName, list[Speed]]:
    """Return the dtype to train in and the speed of each shape, from probes of about `budget` seconds together.

    `auto` follows from the processor's features (`chosen_dtype`).
    """
    dtype = chosen_dtype(dtype, choose_device("cpu")).dtype
    ids = ArrayTokens(np.random.default_rng(seed).integers(0, VOCABULARY, 64 * LENGTH + 1))
    batches = WindowBatches(ids, ROWS, LENGTH, seed)
    runtime = RuntimeConfig(dtype=DTYPES[dtype], seed=seed)
    timed: dict[tuple[int, int], float] = {}
    for layers, width in TIMED:
        decoder = build_decoder(shape_of(layers, width, VOCABULARY))
        seconds = step_time(decoder, batches, training_of(width), runtime, budget=budget / len(TIMED))
        timed[layers, width] = seconds / (ROWS * LENGTH)
    return dtype, speeds_of(timed)


def speeds_of(timed: Mapping[tuple[int, int], float]) -> list[Speed]:
    """Return the speeds of all shapes by the seconds a token of some.

    What else the machine does only ever adds to a time, so the one that is shortest for its shape counts.
    """
    unit = min(seconds / relative_time(*shape) for shape, seconds in timed.items())
    speeds = []
    for layers, width in SHAPES:
        weights = matrix_weights(outline(shape_of(layers, width, VOCABULARY)))
        speeds.append(Speed(layers, width, weights, 1.0 / (unit * relative_time(layers, width))))
    return speeds


def relative_time(layers: int, width: int) -> float:
    """Return about how long a shape takes for a token, two layers of width 128 taking 1.

    So small, a step is mostly single passes over memory: its time follows the numbers in a row of activations, and
    what it takes besides. The figures were the same in fp32 and bf16.
    """
    return 0.16 + 0.84 * layers * width / 256 * max(1.0, width / 128) ** 0.6


def best_for_text(speeds: list[Speed], seconds: float) -> Speed:
    """Return the shape that the law of loss expects most of after some seconds of training on English prose."""
    law = loss_law()
    law = dataclasses.replace(law, a=SIZE_COUNTS * law.a)
    return min(speeds, key=lambda speed: law.bits("default", speed.weights, seconds * speed.tokens_per_second))


def best_for_facts(speeds: list[Speed], seconds: float) -> Speed:
    """Return the largest shape that reads the embedded corpus often enough in the seconds, else the smallest."""
    enough = [s for s in speeds if seconds * s.tokens_per_second >= FACTS.get((s.layers, s.width), float("inf"))]
    return (enough or speeds[:1])[-1]


def minutes_to_reach(bits: float, now: float, tokens: float, speed: float) -> float | None:
    """Return the minutes of training after which a run that ended at `now` after `tokens` should reach `bits`.

    By the law of loss, whose text term falls with the tokens read; None where more text alone never reaches it.
    """
    law = loss_law()
    text_term = law.b * tokens**-law.beta
    wanted = text_term - (now - bits)
    if wanted <= 0:
        return None
    return float((law.b / wanted) ** (1 / law.beta) / speed / 60.0)
