"""`scratchlm import` and `scratchlm export`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from scratchlm.base.device import DTYPES
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_text
from scratchlm.base.folders import atomic_folder
from scratchlm.base.outputs import output_folder
from scratchlm.base.result import Result
from scratchlm.base.runfolder import history_of
from scratchlm.model.lora import merge_adapter
from scratchlm.model.loraconfig import ADAPTER_NAME
from scratchlm.weights.adapters import CONFIG as ADAPTER_CONFIG
from scratchlm.weights.adapters import read_adapter, write_adapter
from scratchlm.weights.checkpoint import (
    CONFIG_FILE,
    MODEL_KIND,
    SavedModel,
    base_of,
    find_model,
    load_model,
    save_model,
)
from scratchlm.weights.config import ExportConfig, ImportConfig
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.known import family_of
from scratchlm.weights.hub import fetch
from scratchlm.weights.huggingface import read_folder, write_folder

GGUF_FILE, PAGE_FILE = "model.gguf", "model.html"


@dataclass(frozen=True, repr=False)
class Transfer(Result):
    """A summary of an imported or exported model."""

    out: str
    architecture: str
    parameters: int
    dtype: str
    vocabulary: int
    context: int
    template: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return dataclasses.asdict(self)

    def __rich__(self) -> Table:
        table = Table(show_header=False, title=self.out, title_justify="left")
        table.add_row("architecture", self.architecture)
        table.add_row("parameters", f"{self.parameters:,} in {self.dtype}")
        table.add_row("vocabulary, context", f"{self.vocabulary:,}, {self.context:,}")
        table.add_row("conversations", "with a chat template" if self.template else "none: it continues text")
        return table


def import_model(config: ImportConfig) -> Transfer:
    """Read a published model and write it as a model folder."""
    source = Path(config.source)
    sources = (source,) if config.base is None else (source, config.base)
    with output_folder(config.out, MODEL_KIND, force=config.force, sources=sources):
        return _import(config, source)


def _import(config: ImportConfig, source: Path) -> Transfer:
    fetched = not source.exists() and source.suffix not in (".gguf", ".bin")
    source = fetch(config.source) if fetched else source
    if (source / ADAPTER_CONFIG).exists() or config.base is not None:
        return _import_adapter(config, source)
    model, family = _reader(source)(source, None if config.dtype == "stored" else DTYPES[config.dtype])
    if fetched:
        model.provenance |= {"source": config.source, "revision": source.name}
    save_model(config.out, model)
    return _transfer(str(config.out), family.architecture, model)


def _import_adapter(config: ImportConfig, source: Path) -> Transfer:
    """Add an adapter, PEFT's or that of a run, to a model folder, which is not changed."""
    if config.base is not None and not (source / ADAPTER_CONFIG).exists():
        return _move_base(config, source, config.base)
    if config.base is None:
        raise UserError("--base: is missing; name the base model of the adapter")
    below = find_model(config.base)
    model = load_model(below, None)
    if model.adapters:
        raise UserError(f"--base {config.base}: has an adapter itself; name its base model")
    model.adapters = {ADAPTER_NAME: read_adapter(source, model.decoder, ADAPTER_NAME)}
    own = frozenset(name for name, _ in model.decoder.named_parameters() if ".lora_" in name)
    model.base = base_of(below, own)
    model.provenance = {**model.provenance, "adapter": source.name}
    save_model(config.out, model)
    return _transfer(str(config.out), family_of(model.decoder.config).architecture, model)


def _move_base(config: ImportConfig, source: Path, base: Path) -> Transfer:
    """Write a model with a base model again, with the base model's new path."""
    if not source.is_dir() or "base" not in read_json(find_model(source) / CONFIG_FILE):
        raise UserError(f"{source}: has neither an adapter nor a base model; leave out --base")
    model = load_model(find_model(source), None, find_model(base))
    save_model(config.out, model)
    return _transfer(str(config.out), "scratchlm", model)


def _reader(source: Path) -> Callable[[Path, torch.dtype | None], tuple[SavedModel, Family]]:
    """Return the reader of a file's format, imported when it is needed."""
    if source.suffix == ".gguf":
        from scratchlm.weights.ggufs.reading import read_gguf

        return read_gguf
    if source.suffix == ".bin":
        from scratchlm.weights.llama2c import read_llama2c

        return read_llama2c
    if source.is_file():
        raise UserError(f"{source}: neither a folder nor a .gguf or .bin file; name one of these")
    return read_folder


def export_model(config: ExportConfig) -> Transfer:
    """Write a model in a format of other programs."""
    folder = find_model(config.model)
    kind = f"{config.to} export"
    with output_folder(config.out, kind, force=config.force, sources=(folder,)):
        return _export(config, folder, kind)


def _export(config: ExportConfig, folder: Path, kind: str) -> Transfer:
    model = load_model(folder, None)
    model.provenance |= history_of(folder)
    adapter = next(iter(model.adapters), None)
    if adapter is None and config.to == "peft":
        raise UserError(f"{config.model}: has no adapter; train one with --lora, or export the model to hf")
    if adapter is not None and config.to != "peft":
        merge_adapter(model.decoder, adapter)
    with atomic_folder(config.out, kind) as temporary:
        if config.to == "gguf":
            from scratchlm.weights.ggufs.writing import modelfile, write_gguf

            family = write_gguf(temporary / GGUF_FILE, model, config.precision)
            write_text(temporary / "Modelfile", modelfile(model, GGUF_FILE))
        elif config.to == "html":
            from scratchlm.weights.html.writing import write_page

            family = family_of(model.decoder.config)
            write_text(temporary / PAGE_FILE, write_page(model))
        elif config.to == "peft":
            assert adapter is not None
            family = write_adapter(temporary, model, adapter)
        elif model.classes is not None:
            from scratchlm.weights.sequence import write_classifier

            family = write_classifier(temporary, model)
        else:
            family = write_folder(temporary, model)
    return _transfer(str(config.out), family.architecture, model)


def _transfer(out: str, architecture: str, model: SavedModel) -> Transfer:
    decoder = model.decoder
    weight = decoder.embedding.weight
    return Transfer(
        out=out,
        architecture=architecture,
        parameters=decoder.parameter_count(),
        dtype=str(weight.dtype).removeprefix("torch."),
        vocabulary=model.tokenizer.vocabulary_size,
        context=decoder.config.context,
        template=model.template is not None,
    )
