"""`scratchlm import` and `scratchlm export`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
from scratchlm.model.quantized import unpack
from scratchlm.weights.adapters import CONFIG as ADAPTER_CONFIG
from scratchlm.weights.adapters import read_adapter, write_adapter
from scratchlm.weights.checkpoint import MODEL_KIND, SavedModel, base_of, find_model, load_model, save_model
from scratchlm.weights.config import ExportConfig, ImportConfig
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.known import family_of
from scratchlm.weights.hub import fetch
from scratchlm.weights.huggingface import read_folder, write_classifier, write_folder
from scratchlm.weights.stored import CONFIG_FILE

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
    with output_folder(config.out, MODEL_KIND, force=config.force, sources=sources, whole=True):
        fetched = not source.exists() and source.suffix not in (".gguf", ".bin")
        source = fetch(config.source) if fetched else source
        if config.dtype == "quantized" and source.suffix != ".gguf":
            raise UserError(f"--dtype quantized: {source} is no .gguf file; import it as stored, then quantize it")
        if (source / ADAPTER_CONFIG).exists():
            model, architecture = _with_adapter(config, source)
        elif config.base is not None:
            model, architecture = _with_base(source, config.base), "scratchlm"
        else:
            dtype = None if config.dtype == "stored" or config.dtype == "quantized" else DTYPES[config.dtype]
            model, family = _reader(source, config.dtype == "quantized")(source, dtype)
            architecture = family.architecture
            if fetched:
                model.provenance |= {"source": config.source, "revision": source.name}
        save_model(config.out, model)
        return _transfer(str(config.out), architecture, model)


def _with_adapter(config: ImportConfig, source: Path) -> tuple[SavedModel, str]:
    """Read a base model, whose folder is not changed, with PEFT's adapter."""
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
    return model, family_of(model.decoder.config).architecture


def _with_base(source: Path, base: Path) -> SavedModel:
    """Read a model whose base model has another path now."""
    if not source.is_dir() or "base" not in read_json(find_model(source) / CONFIG_FILE):
        raise UserError(f"{source}: has neither an adapter nor a base model; leave out --base")
    return load_model(find_model(source), None, find_model(base))


def _reader(source: Path, packed: bool) -> Callable[[Path, torch.dtype | None], tuple[SavedModel, Family]]:
    """Return the reader of a file's format, imported when it is needed."""
    if source.suffix == ".gguf":
        from scratchlm.weights.ggufs.reading import read_gguf

        return partial(read_gguf, packed=packed)
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
    with output_folder(config.out, kind, force=config.force, sources=(folder,), whole=True):
        model = load_model(folder, None)
        model.provenance |= history_of(folder)
        unpack(model.decoder)
        model.quantization = None
        adapter = next(iter(model.adapters), None)
        if adapter is None and config.to == "peft":
            raise UserError(f"{config.model}: has no adapter; train one with --lora, or export the model to hf")
        if adapter is not None and config.to != "peft":
            merge_adapter(model.decoder, adapter)
        with atomic_folder(config.out, kind) as temporary:
            family = _write(config, temporary, model, adapter)
        return _transfer(str(config.out), family.architecture, model)


def _write(config: ExportConfig, folder: Path, model: SavedModel, adapter: str | None) -> Family:
    """Write a model's files into a folder; the writer of a format is imported when it is needed."""
    if config.to == "gguf":
        from scratchlm.weights.ggufs.writing import modelfile, write_gguf

        write_text(folder / "Modelfile", modelfile(model, GGUF_FILE))
        return write_gguf(folder / GGUF_FILE, model, config.precision)
    if config.to == "html":
        from scratchlm.weights.html.writing import write_page

        family = family_of(model.decoder.config)
        write_text(folder / PAGE_FILE, write_page(model))
        return family
    if config.to == "peft":
        assert adapter is not None
        return write_adapter(folder, model, adapter)
    if model.classes is not None:
        return write_classifier(folder, model)
    return write_folder(folder, model)


def _dtype(model: SavedModel) -> str:
    if model.quantization is not None:
        return model.quantization.to
    return str(model.decoder.embedding.weight.dtype).removeprefix("torch.")


def _transfer(out: str, architecture: str, model: SavedModel) -> Transfer:
    return Transfer(
        out=out,
        architecture=architecture,
        parameters=model.decoder.parameter_count(),
        dtype=_dtype(model),
        vocabulary=model.tokenizer.vocabulary_size,
        context=model.decoder.config.context,
        template=model.template is not None,
    )
