"""The JSON files of a model folder, read with type checks: config, adapters, classes, base model and hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.config import read_known
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import read_json
from scratchlm.base.ranges import Fraction, Positive, out_of_range
from scratchlm.base.reading import is_inside, require_table
from scratchlm.model.config import DecoderConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantizationconfig import QuantizationConfig
from scratchlm.text.config import LongTexts

FORMAT = 2
"""Version of the folder's format; a reader refuses a later one."""

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
HASHES_FILE = "files.json"


@dataclass(frozen=True)
class Classes:
    """The labels of a classification head, and how a label is chosen from its logits."""

    labels: tuple[str, ...]
    """Label of each output."""
    temperature: Positive = 1.0
    """Divisor of the logits that calibrates the probabilities (temperature scaling, Guo et al. 2017)."""
    positive: str | None = None
    """The positive class, of two."""
    threshold: Fraction = 0.5
    """Least probability of the positive class at which it is predicted."""
    prompt: str = "{text}"
    """The model's input: the text with words before and after it."""
    long: LongTexts = "head"
    """Which part of a text longer than its context the model reads."""

    def __post_init__(self) -> None:
        problems = out_of_range(self, "classes")
        if not self.labels or len(set(self.labels)) < len(self.labels):
            problems.append(f"classes.labels has {len(self.labels)} labels: must name each once")
        if self.positive is not None and self.positive not in self.labels:
            problems.append(f"classes.positive is {self.positive[:80]!r}: must be one of the labels")
        if self.prompt.count("{text}") != 1:
            problems.append(f"classes.prompt is {self.prompt[:80]!r}: must hold {{text}} once")
        raise_all(problems)


@dataclass(frozen=True)
class Below:
    """The base model, as config.json of a model on top of it describes it."""

    path: Path
    weights: str


@dataclass(frozen=True)
class Stored:
    """The content of config.json of a model folder."""

    decoder: DecoderConfig
    format: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    adapters: dict[str, LoRAConfig] = field(default_factory=dict)
    classes: Classes | None = None
    base: Below | None = None
    nf4: bool = False
    quantization: QuantizationConfig | None = None

    def __post_init__(self) -> None:
        sources = self.provenance.get("sources") or []
        if not isinstance(sources, list) or not all(isinstance(each, dict) for each in sources):
            raise UserError("provenance.sources is no list of named values")


def read_hashes(folder: Path) -> dict[str, str]:
    """Read the hash of each file of a model folder; only files in it may be named."""
    path = folder / HASHES_FILE
    hashes = require_table(read_json(path), str(path))
    for name, digest in hashes.items():
        if not is_inside(name) or not isinstance(digest, str):
            raise UserError(f"{path}: names {name!r}, which is no file of its folder; restore the whole folder")
    if WEIGHTS_FILE not in hashes:
        raise UserError(f"{path}: does not name {WEIGHTS_FILE}; restore the whole folder")
    return hashes


def read_stored(folder: Path) -> Stored:
    """Read config.json of a model folder. Raises `UserError`, which lists all problems."""
    path = folder / CONFIG_FILE
    form = require_table(read_json(path), str(path)).get("format", 0)
    if isinstance(form, int) and form > FORMAT:
        raise UserError(f"{folder}: format {form} is newer than {FORMAT}, which this version reads; update")
    try:
        return read_known(Stored, path)
    except UserError as error:
        raise UserError(f"{path}: {str(error).replace(f'{path}.', '')}; restore the folder") from error
