"""What a time-lapse keeps of a training: at each of its moments a text, a loss, and what is predicted in a passage."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.device import threads
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.model.decoder import Decoder
from scratchlm.runs.hooks import Stateless
from scratchlm.tokens.base import Tokenizer, first_token

FORMAT = 1
TOP = 10
"""Most probable tokens that are kept for each position of the passage."""
WHOLE = 65535
"""What stands for a probability of 1 in a file."""


@dataclass(frozen=True)
class Moment:
    """A model at one moment of its training; P positions of the passage."""

    step: int
    loss: float
    """Mean loss on the held-out text, in nats a token."""
    text: str
    """What it writes after the prompt."""
    nats: list[float]
    """Loss of each token of the passage, (P,)."""
    top: list[list[int]]
    """Most probable tokens at each position, the first the most probable, (P, `TOP`)."""
    probabilities: list[list[float]]
    """Their probabilities, (P, `TOP`)."""


@dataclass
class Lapse:
    """A training to be replayed."""

    source: str
    prompt: str
    symbols: list[str]
    """How each id of the vocabulary is shown."""
    passage: list[int]
    """Ids of a held-out text, (P,)."""
    parameters: int
    tokens_a_step: int
    steps: int
    frames: list[Moment] = field(default_factory=list)


def moments(steps: int, wanted: int) -> list[int]:
    """Return about `wanted` steps from 0 to `steps`, spaced evenly in their logarithm where whole steps allow it."""
    if wanted < 2 or steps < 1:
        return sorted({0, steps})
    count = wanted
    while True:  # the first ones fall on the same whole step, so more are asked for until enough are left
        steps_of = {0, *(round(float(each)) for each in np.geomspace(1, steps, count))}
        if len(steps_of) >= min(wanted, steps + 1) or count > 50 * wanted:
            return sorted(steps_of)
        count += 1


@torch.no_grad()
def predictions(
    decoder: Decoder, tokenizer: Tokenizer, passage: Sequence[int]
) -> tuple[Float[Tensor, " P"], Float[Tensor, "P N"], Int[Tensor, "P N"]]:
    """Return the loss of each token of a passage, and the probabilities and ids of the `TOP` most probable ones.

    The passage begins a text: its first token is predicted from the token before texts, and no position is given more
    than the passage. Raises `UserError` where it is longer than the model's context.
    """
    context = decoder.config.context
    if len(passage) > context:
        raise UserError(f"passage of {len(passage)} tokens: the model's context is {context}; give a shorter one")
    first = first_token(tokenizer) or 0
    ids = torch.tensor([[first, *passage[:-1]]], device=decoder.device)
    logs = decoder.eval()(ids)[0].float().log_softmax(-1).cpu()
    best = logs.exp().topk(min(TOP, logs.size(-1)))
    return -logs.gather(-1, torch.tensor(passage)[:, None]).squeeze(-1), best.values, best.indices


class Watch(Stateless):
    """A hook for `fit` that fills a lapse: it looks at the model after the steps that `moments` chose."""

    name = "timelapse"
    every = 1

    def __init__(
        self, lapse: Lapse, tokenizer: Tokenizer, held_out: np.ndarray, looks: Sequence[int], *,
        characters: int, seed: int,
    ) -> None:  # fmt: skip
        self.lapse, self.looks = lapse, frozenset(looks)
        self._tokenizer, self._held_out = tokenizer, ArrayTokens(held_out)
        self._sampling = SamplingConfig(max_tokens=characters, temperature=0.8, seed=seed)

    def __call__(self, step: int, decoder: Decoder) -> None:
        """Add a frame if this is one of the moments."""
        if step not in self.looks:
            return
        nats, probabilities, top = predictions(decoder, self._tokenizer, self.lapse.passage)
        loss = held_out_loss(decoder, self._tokenizer, self._held_out).loss
        with threads(1):  # token by token, products are too small to share
            ids = list(stream_ids(Engine(decoder), self._tokenizer.encode(self.lapse.prompt), self._sampling))
        rounded = [round(float(each), 3) for each in nats]
        rows = [[round(float(each), 5) for each in row] for row in probabilities]
        text = written(self._tokenizer, ids)
        frame = Moment(step, round(loss, 4), text, rounded, top.tolist(), rows)
        self.lapse.frames.append(unpacked(packed(frame)))  # rounded as in a file, from which all is drawn again alike


def written(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return a text of a fixed height: a line break becomes an arrow, and what is no letter of a text a box."""
    specials = set(tokenizer.specials.values())
    plain = b"".join(b"\x00" if id in specials else tokenizer.token_bytes(id) for id in ids)
    return "".join(_shown(letter) for letter in plain.decode("utf-8", "replace"))


def symbols(tokenizer: Tokenizer) -> list[str]:
    """Return how each id is shown by itself: a space as an open box, bytes that are no letter as hexadecimal."""
    names = {id: "end" if id == tokenizer.end_of_text else "special" for id in tokenizer.specials.values()}
    texts = []
    for id in range(tokenizer.vocabulary_size):
        raw = tokenizer.token_bytes(id)
        text = raw.decode("utf-8", "replace")
        hidden = "\ufffd" in text or not text.strip() or not text.isprintable()
        code = {b" ": "\N{OPEN BOX}", b"\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"}.get(raw, raw.hex().upper())
        texts.append(names.get(id) or (code if hidden else text))
    return texts


def _shown(letter: str) -> str:
    if letter == "\n":
        return "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
    return letter if letter.isprintable() and letter != "\ufffd" else "\N{WHITE SQUARE}"


def packed(frame: Moment) -> dict[str, Any]:
    """Return a frame as a page holds it: long lists as base64 of 16-bit numbers, the lowest byte first.

    Losses are in thousandths of a nat, probabilities in parts of `WHOLE`.
    """
    numbers = {
        "nats": np.minimum(np.array(frame.nats) * 1000, WHOLE),
        "top": np.array(frame.top),
        "probabilities": np.array(frame.probabilities) * WHOLE,
    }
    texts = {name: base64.b64encode(array.round().astype("<u2").tobytes()).decode() for name, array in numbers.items()}
    return {"step": frame.step, "loss": frame.loss, "text": frame.text, **texts}


def unpacked(stored: dict[str, Any]) -> Moment:
    """Return the frame that `packed` made, up to rounding."""
    read = {
        name: np.frombuffer(base64.b64decode(stored[name]), "<u2") for name in ("nats", "top", "probabilities")
    }  # fmt: skip
    positions = len(read["nats"])
    top, parts = (read[name].reshape(positions, -1) for name in ("top", "probabilities"))
    return Moment(
        stored["step"], stored["loss"], stored["text"], (read["nats"] / 1000).tolist(), top.tolist(),
        (parts / WHOLE).round(5).tolist(),
    )  # fmt: skip


def write_lapse(path: Path, lapse: Lapse) -> None:
    """Write a lapse as JSON."""
    values = {each.name: getattr(lapse, each.name) for each in dataclasses.fields(lapse)}
    write_json(path, {"format": FORMAT, **values, "frames": [packed(frame) for frame in lapse.frames]})


def read_lapse(path: Path) -> Lapse:
    """Read what `write_lapse` wrote. Raises `UserError` for a file of another kind."""
    stored = read_json(path)
    try:
        if stored.pop("format") != FORMAT:
            raise UserError(f"{path}: is no time-lapse of format {FORMAT}; make it again with scratchlm timelapse")
        return Lapse(**{**stored, "frames": [unpacked(frame) for frame in stored["frames"]]})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no time-lapse ({error}); make it again with scratchlm timelapse") from error
