"""Model folders and checkpoints: safetensors and JSON, written atomically, verified when they are read.

    config.json          config of the decoder, format version; adapters, classes, base model, quantization, if any
    model.safetensors    the weights, in fp32 if trained here, else as imported; without those of the base model
    tokenizer.json       the tokenizer
    chat_template.jinja  the chat template of a model that was trained on conversations
    generation.json      the default sampling settings
    linear.*             the linear classifier that learned from the same texts (`linear.py`)
    files.json           SHA-256 of each of these, so that a truncated or altered file is refused

A checkpoint is such a folder with the optimizer's tensors and the state of the training loop. There are no pickles.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from scratchlm.base.config import to_dict
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, sha256_of, write_json, write_text
from scratchlm.base.folders import atomic_folder
from scratchlm.base.paths import found_path, stored_path
from scratchlm.base.reading import require_table
from scratchlm.base.runfolder import is_step
from scratchlm.model.decoder import Decoder, outline
from scratchlm.model.lora import adapted, add_adapter, pack_base, use_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantizationconfig import QuantizationConfig
from scratchlm.model.quantized import QuantizedWeight, quantize_outline
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import TEMPLATE_FILE, ChatTemplate, load_template
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.weights.hugepages import HugePages
from scratchlm.weights.linear import LINEAR_FILE, LINEAR_WEIGHTS, LinearModel, linear_tensors, read_linear
from scratchlm.weights.stored import (
    CONFIG_FILE,
    FORMAT,
    WEIGHTS_FILE,
    Stored,
    read_hashes,
    read_stored,
)
from scratchlm.weights.stored import HASHES_FILE as HASHES_FILE  # re-exported
from scratchlm.weights.stored import Classes as Classes
from scratchlm.weights.tensors import open_tensors, require_finite

MODEL_KIND, CHECKPOINT_KIND = "model", "checkpoint"
"""Kinds in the marker files of such folders."""
GENERATION_FILE = "generation.json"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "training.json"
KEPT_DTYPE = (".codes", ".scales", ".minima")
"""Endings of tensors that are read in the number format that they are stored in, those of quantized matrices."""


@dataclass(frozen=True)
class Base:
    """The base model of a model that stores only what differs from it: adapters, a classification head."""

    path: Path
    weights: str
    """SHA-256 of the base model's weights."""
    own: frozenset[str] = frozenset()
    """Names of the tensors that are stored in the model's own folder."""


@dataclass
class SavedModel:
    """The content of a model folder, in memory."""

    decoder: Decoder
    tokenizer: Tokenizer
    template: ChatTemplate | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    """Provenance of the weights, from the run that trained them: data, steps, loss."""
    adapters: dict[str, LoRAConfig] = field(default_factory=dict)
    """Adapters of the decoder; the first is active when the model is loaded."""
    classes: Classes | None = None
    linear: LinearModel | None = None
    """Of a classifier: the linear one beside it."""
    base: Base | None = None
    nf4: bool = False
    """Whether the base weights are in four bits, as when the adapters were trained (QLoRA)."""
    quantization: QuantizationConfig | None = None
    """How the weights were quantized; such a model writes and is measured, and is not trained."""

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: those of the template, and further stop ids of an imported model."""
        ids = frozenset(int(id) for id in self.generation.get("stop_ids", ()))
        return ids if self.template is None else ids | self.template.stop_ids

    @property
    def end_ids(self) -> list[int]:
        """The stop ids and the end of text, in order."""
        end = self.tokenizer.end_of_text
        return sorted(self.stop_ids | (set() if end is None else {end}))


def save_model(folder: Path, model: SavedModel) -> None:
    """Write a model folder atomically, replacing an old one. Raises `UserError` on a full disk and similar errors."""
    with atomic_folder(folder, MODEL_KIND) as temporary:
        _write_model(temporary, model)
        write_hashes(temporary)


def save_checkpoint(folder: Path, model: SavedModel, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a model folder with the optimizer's tensors and the JSON state of the training loop, atomically."""
    with atomic_folder(folder, CHECKPOINT_KIND) as temporary:
        _write_model(temporary, model)
        save_tensors(temporary / OPTIMIZER_FILE, tensors)
        write_json(temporary / STATE_FILE, {"format": FORMAT, **state})
        write_hashes(temporary)


def _write_model(folder: Path, model: SavedModel) -> None:
    config = {"format": FORMAT, "decoder": to_dict(model.decoder.config), "provenance": model.provenance}
    if model.adapters:
        config["adapters"] = {name: to_dict(each) for name, each in model.adapters.items()}
    if model.classes is not None:
        config["classes"] = to_dict(model.classes)
    tensors = dict(model.decoder.named_parameters())
    if model.base is not None:
        config["nf4"] = model.nf4
        config["base"] = {"path": stored_path(model.base.path, folder), "weights": model.base.weights}
        tensors = {name: tensor for name, tensor in tensors.items() if name in model.base.own}
    if model.quantization is not None:
        config["quantization"] = to_dict(model.quantization)
    write_json(folder / CONFIG_FILE, config)
    save_tensors(folder / WEIGHTS_FILE, tensors)
    model.tokenizer.save(folder)
    write_json(folder / GENERATION_FILE, model.generation)
    if model.template is not None:
        write_text(folder / TEMPLATE_FILE, model.template.source)
    if model.linear is not None:
        write_json(folder / LINEAR_FILE, to_dict(model.linear.settings))
        save_tensors(folder / LINEAR_WEIGHTS, linear_tensors(model.linear))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, with the default permissions of new files. Raises `OSError`."""
    path.touch()
    mode = path.stat().st_mode  # safetensors makes files readable by the owner only
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))  # stated in the message alone; atomic_folder explains it
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    path.chmod(mode)


def write_hashes(folder: Path) -> None:
    """Write the SHA-256 of each file of a folder beside them, which `verify` checks."""
    names = sorted(path.name for path in folder.iterdir())
    write_json(folder / HASHES_FILE, {name: sha256_of(folder / name) for name in names})


def verify(folder: Path) -> None:
    """Check every file against its stored hash; the first that is missing, truncated or altered is a `UserError`."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; check the spelling")
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder}: holds no {CONFIG_FILE}, so it is no model folder; name the folder a run wrote")
    if not (folder / HASHES_FILE).exists():
        raise UserError(f"{folder}: {HASHES_FILE} is missing, so the files cannot be checked; restore the whole folder")
    for name, digest in read_hashes(folder).items():
        path = folder / name
        if not path.exists():
            raise UserError(f"{path}: is missing; restore it, or use another checkpoint")
        if sha256_of(path) != digest:
            raise UserError(
                f"{path}: is truncated or altered (its hash differs); restore it, or use another checkpoint"
            )


def load_model(folder: Path, dtype: torch.dtype | None = torch.float32, base: Path | None = None) -> SavedModel:
    """Read a model folder on the CPU, checked against its hashes; weights become `dtype`, None: as they are stored.

    `base` is the folder of its base model, where that was moved. Tensors are copied, not memory-mapped.
    """
    verify(folder)
    stored = read_stored(folder)
    config = stored.decoder
    tokenizer = load_tokenizer(folder)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} ids and the model {config.vocabulary_size}; "
            "they do not belong together, restore the folder"
        )
    if stored.classes is not None and len(stored.classes.labels) != getattr(config.classes, "count", 0):
        raise UserError(
            f"{folder}: has {len(stored.classes.labels)} labels for a head of other size; restore the folder"
        )
    decoder = outline(config)
    if stored.quantization is not None:
        quantize_outline(decoder, stored.quantization)
    for name, each in reversed(stored.adapters.items()):  # so that the first is active at the end
        add_adapter(decoder, name, each)
    tensors, below = _tensors_of(folder, stored, dtype, base)
    fill(decoder, tensors)
    if stored.nf4:
        pack_base(decoder)
    return SavedModel(
        decoder=decoder,
        tokenizer=tokenizer,
        template=load_template(folder, tokenizer),
        generation=require_table(read_json(folder / GENERATION_FILE), str(folder / GENERATION_FILE)),
        provenance=stored.provenance,
        adapters=stored.adapters,
        classes=stored.classes,
        linear=None if stored.classes is None else read_linear(folder),
        base=below,
        nf4=stored.nf4,
        quantization=stored.quantization,
    )


def _tensors_of(
    folder: Path, stored: Stored, dtype: torch.dtype | None, below: Path | None = None, above: tuple[str, ...] = ()
) -> tuple[dict[str, Tensor], Base | None]:
    """Read the tensors of a folder and of its base model, whose weights must have the stored hash.

    `above` are the real paths of the models whose base this one is, the first one first.
    """
    own = _load_tensors(folder / WEIGHTS_FILE, dtype)
    if stored.base is None:
        return own, None
    path = below or found_path(str(stored.base.path), folder)
    above = (*above, os.path.realpath(folder))
    if os.path.realpath(path) in above:
        raise UserError(
            f"{above[0]}: its base models form a circle, back to {path}; write it anew with the right one: "
            f"scratchlm import {above[0]} --base PLACE --out NEW"
        )
    base = base_of(path, frozenset(own), where=folder)
    if base.weights != stored.base.weights:
        raise UserError(f"{folder}: was trained on other weights than {base.path} has now; restore the old ones")
    verify(base.path)
    under, _ = _tensors_of(base.path, read_stored(base.path), dtype, above=above)
    return {**under, **own}, base


def base_of(path: Path, own: frozenset[str], where: Path | None = None) -> Base:
    """Return a model folder as a base model. Raises `UserError` where it no longer exists."""
    if not (path / HASHES_FILE).exists():
        if where is None:
            raise UserError(f"--init {path}: holds no {HASHES_FILE}; restore the whole folder")
        raise UserError(
            f"{where}: its base model {path} is missing; restore it, or write a folder with the path that it was "
            f"moved to: scratchlm import {where} --base PLACE --out NEW"
        )
    return Base(path.absolute(), read_hashes(path)[WEIGHTS_FILE], own)


def fill(decoder: Decoder, tensors: dict[str, Tensor]) -> Decoder:
    """Load weights into a decoder on the meta device, strictly: every name and shape must match."""
    expected = {name: parameter.shape for name, parameter in decoder.named_parameters()}
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise UserError(f"weights do not fit the config: missing {missing or 'none'}, unknown {unknown or 'none'}")
    for name, shape in expected.items():
        if tensors[name].shape != shape and name.endswith(KEPT_DTYPE):
            raise UserError(f"weights do not fit the config: {name} has another layout; quantize the model anew")
        if tensors[name].shape != shape:
            raise UserError(f"weights do not fit the config: {name} is {tuple(tensors[name].shape)}, not {shape}")
    decoder.load_state_dict(tensors, strict=False, assign=True)
    for part in decoder.modules():
        for parameter in part.parameters(recurse=False):
            parameter.requires_grad_(not isinstance(part, QuantizedWeight))
    decoder.restore_tables()
    return decoder


def join_adapter(model: SavedModel, below: Path, name: str, folder: Path) -> ChatTemplate | None:
    """Add to a model, loaded from the folder `below`, the adapter of a run that was fine-tuned from it, under a name.

    The active adapter stays active. Returns the run's chat template, where it has one. Raises `UserError` where the
    folder has no adapter, one for another model, or one whose outputs would differ here.
    """
    verify(folder)
    stored = read_stored(folder)
    if not stored.adapters or stored.base is None:
        raise UserError(f"{folder}: has no adapter; name a run that was trained with --lora")
    if stored.classes is not None:
        raise UserError(f"{folder}: is a classifier, whose head cannot be joined to other adapters; load it by itself")
    if stored.nf4 != model.nf4:
        raise UserError(f"{folder}: was trained on base weights in four bits; load it by itself")
    if stored.base.weights != read_hashes(below)[WEIGHTS_FILE]:
        raise UserError(f"{folder}: its adapter was trained on other weights than those of {below}")
    theirs, config = next(iter(stored.adapters.items()))
    active = next((layer.active for layer in adapted(model.decoder).values() if layer.active is not None), None)
    add_adapter(model.decoder, name, config)
    use_adapter(model.decoder, active)
    tensors = _load_tensors(folder / WEIGHTS_FILE, torch.float32)
    with torch.no_grad():
        for path, parameter in model.decoder.named_parameters():
            if ".lora_" in path and path.endswith(f".{name}"):
                parameter.copy_(tensors[path.removesuffix(name) + theirs])
    model.adapters[name] = config
    return load_template(folder, model.tokenizer)


def require_trainable(model: SavedModel, where: Path) -> None:
    """Raise `UserError` for a quantized model."""
    if model.quantization is not None:
        raise UserError(f"--init {where}: is quantized and cannot be trained; name the model that it was made of")


def require_checkpoint_of(model: SavedModel, folder: Path) -> None:
    """Raise `UserError` for a checkpoint of a model with other tensors or another tokenizer, or of a later format."""
    read_stored(folder)
    parts = model.decoder.named_parameters()
    ours = {name: list(part.shape) for name, part in parts if model.base is None or name in model.base.own}
    with open_tensors(folder / WEIGHTS_FILE) as file:
        theirs = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if load_tokenizer(folder).fingerprint != model.tokenizer.fingerprint:
        differing.append("its tokenizer")
    if differing:
        names = ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
        raise UserError(f"{folder}: is a checkpoint of another model (other: {names}); put back the run's own")


def load_weights(decoder: Decoder, folder: Path) -> None:
    """Copy a checkpoint's weights into an existing decoder; tensors that it lacks were frozen and are kept."""
    parameters = dict(decoder.named_parameters())
    with torch.no_grad():
        for name, tensor in _load_tensors(folder / WEIGHTS_FILE).items():
            parameters[name].copy_(tensor)


def load_training_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the optimizer's tensors and the training state of a checkpoint, checked against its hashes."""
    verify(folder)
    path = folder / STATE_FILE
    return _load_tensors(folder / OPTIMIZER_FILE), require_table(read_json(path), str(path))


def _load_tensors(path: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    pages, read = HugePages(), {}
    try:
        with open_tensors(path) as file:
            for name in file.keys():  # noqa: SIM118 - no dictionary
                tensor = file.get_tensor(name)
                wanted = tensor.dtype if name.endswith(KEPT_DTYPE) else dtype or tensor.dtype
                read[name] = require_finite(pages.copy(tensor, wanted), name, path)
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be read ({error}); restore it, or use another checkpoint") from error
    return read


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's `checkpoints/` folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_step(path.name))


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint, or None."""
    return max(list_checkpoints(folder), default=None)


def find_model(place: Path) -> Path:
    """Return the model folder at `place`: itself, its `model/`, or its latest checkpoint; or raise `UserError`."""
    if (place / CONFIG_FILE).exists():
        if "model_type" in require_table(read_json(place / CONFIG_FILE), str(place / CONFIG_FILE)):
            raise UserError(f"{place}: in Hugging Face's format; import it first: scratchlm import {place} --out ...")
        return place
    if (place / "model" / CONFIG_FILE).exists():
        return place / "model"
    if latest := latest_checkpoint(place / "checkpoints"):
        return latest
    if not place.exists():
        raise UserError(f"{place}: no such model folder; check the spelling, or train one with scratchlm quickstart")
    raise UserError(f"{place}: has no model ({CONFIG_FILE}) and no checkpoint; name a folder that a run wrote")
