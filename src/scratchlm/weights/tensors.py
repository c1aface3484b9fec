"""Tensors in one or many safetensors files, each read from disk on access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import read_json
from scratchlm.base.reading import is_inside, require_plain

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "model.pt", "model.pth")
KINDS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""The dtypes of weights, by their names in safetensors."""


def require_finite(tensor: Tensor, name: str, where: Path) -> Tensor:
    """Return a weight. Raises `UserError` where a number in it is infinite or NaN. One pass, no copy."""
    if tensor.numel():
        ends = torch.stack(torch.aminmax(tensor))  # a NaN is both the minimum and the maximum
        if not bool(torch.isfinite(ends).all()):
            raise UserError(f"{where}: {name} has numbers that are infinite or NaN; fetch or train the model again")
    return tensor


def open_tensors(path: Path) -> Any:
    """Open a safetensors file. Raises `UserError` for one that cannot be read, and for pipes and devices."""
    try:
        require_plain(path)
        # pread copies a tensor to aligned memory. A memory-mapped one has the file's alignment, with which fp32
        # products differ in their last bits, and its pages would use memory besides the copy.
        return safe_open(path, framework="pt", backend="pread")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file, it may be cut short") from error


class StoredTensors(Mapping[str, Tensor]):
    """Tensors that are read from disk on access; names and shapes are known before."""

    shapes: Mapping[str, torch.Size]
    """The shape of every tensor, outputs first, known without reading its data."""

    def __init__(self, places: Mapping[str, Any], shapes: Mapping[str, torch.Size]) -> None:
        self._places, self.shapes = places, shapes

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class SafetensorsFiles(StoredTensors):
    """The tensors of a folder's file `name`, or of the shards in its index.

    `prefix` is added to names that lack it, but not to `lm_head`. Access copies one tensor into memory, and nothing
    else of the file. Raises `UserError` for a folder without such files, for pickles, for shards outside the folder,
    and for files that are truncated or have other dtypes.
    """

    def __init__(self, folder: Path, name: str = SINGLE, prefix: str = "") -> None:
        self.folder = folder
        index = folder / INDEX
        listed = _shards(index) if index.exists() else {}
        files: dict[str, Any] = {}  # name of a tensor -> its open file
        for place in sorted(set(listed.values())) or [_single(folder, name)]:
            file = open_tensors(folder / place)
            files |= dict.fromkeys(file.keys(), file)
        raise_all([f"{index}: {name} is in none of its files" for name in listed if name not in files])
        slices = {name: file.get_slice(name) for name, file in files.items()}
        raise_all(
            [
                f"{folder}: {name} is stored as {piece.get_dtype()}; only {', '.join(KINDS)} can be read"
                for name, piece in slices.items()
                if piece.get_dtype() not in KINDS
            ]
        )
        stored = {(name if name.startswith((prefix, "lm_head.")) else prefix + name): name for name in files}
        places = {name: (files[theirs], theirs) for name, theirs in stored.items()}
        super().__init__(places, {name: torch.Size(slices[theirs].get_shape()) for name, theirs in stored.items()})

    def __getitem__(self, name: str) -> Tensor:
        file, stored = self._places[name]
        try:
            tensor: Tensor = file.get_tensor(stored)
        except SafetensorError as error:
            raise UserError(f"{self.folder}: {stored} cannot be read ({error}); restore the file") from error
        return require_finite(tensor, stored, self.folder)


def _single(folder: Path, name: str) -> str:
    if (folder / name).exists():
        return name
    pickled = next((name for name in PICKLES if (folder / name).exists()), None)
    if pickled is not None:
        raise UserError(
            f"{folder / pickled}: is a pickle, which can run any program when it is read, so it is refused; "
            "take the safetensors version of the model"
        )
    raise UserError(f"{folder}: has no {name}; name a folder in Hugging Face's format")


def _shards(index: Path) -> dict[str, str]:
    """Read the file of each tensor from an index; only files in the index's folder are allowed."""
    data = read_json(index)
    listed = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{index}: has no weight_map; restore the file")
    for name in listed.values():
        if not is_inside(name):
            raise UserError(
                f"{index}: names {name!r}, which lies outside its folder; take the model from another place"
            )
        if not (index.parent / name).exists():
            raise UserError(f"{index.parent / name}: is missing; fetch all files that {index.name} names")
    return listed
