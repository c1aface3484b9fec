"""`scratchlm inspect`: parameters, memory, tokenizer and provenance of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.base.runfolder import history_of
from scratchlm.model.counting import sizes_of
from scratchlm.tokens.chat import CHATML
from scratchlm.weights.checkpoint import load_model
from scratchlm.weights.families.known import family_of


@dataclass(frozen=True, repr=False)
class Inspected(Result):
    """The description of a model."""

    model: str
    family: str
    parameters: int
    active: int
    parts: dict[str, int]
    stored_as: str
    weight_bytes: dict[str, int]
    cache_bytes_per_token: int
    """Bytes of keys and values in bf16."""
    layers: int
    width: int
    context: int
    tokenizer: str
    vocabulary: int
    specials: dict[str, int]
    template: str
    provenance: dict[str, Any]

    def __rich__(self) -> RenderableType:
        parts = Table("part", "parameters", "percent", title=self.model, title_justify="left")
        for name, count in sorted(self.parts.items(), key=lambda item: -item[1]):
            parts.add_row(name, f"{count:,}", f"{100 * count / self.parameters:.1f}%")
        parts.add_row("all", f"{self.parameters:,}", "")
        weights = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in self.weight_bytes.items())
        each, full = self.cache_bytes_per_token, self.cache_bytes_per_token * self.context / 1e6
        rows = {"family": self.family}
        rows["shape"] = f"{self.layers} layers of {self.width}, a context of {self.context:,}"
        if self.active != self.parameters:
            rows["active"] = f"{self.active:,} parameters a token"
        rows["memory in MB"] = f"{weights} (stored as {self.stored_as})"
        rows["cache"] = f"{each:,} bytes a token in bf16, {full:,.1f} MB when the context is full"
        rows["tokenizer"] = f"{self.tokenizer}, {self.vocabulary:,} ids; special: {', '.join(self.specials)}"
        rows["conversations"] = self.template
        facts = Table(show_header=False)
        for name, text in [*rows.items(), *((name, _shown(value)) for name, value in self.provenance.items())]:
            facts.add_row(name, text)
        return Group(parts, facts)


def describe(folder: Path) -> Inspected:
    """Read a model folder and count its parameters. Raises `UserError` where it is no model folder."""
    model = load_model(folder, None)
    history = {**model.provenance, **history_of(folder)}
    shape, sizes = model.decoder.config, sizes_of(model.decoder.config)
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in model.decoder.parameters()})
    try:
        known = family_of(shape)
        family = f"{known.model_type} ({known.architecture})"
    except UserError:
        family = "none that other programs know"
    template = "none" if model.template is None else "its own template"
    return Inspected(
        model=str(folder),
        family=family,
        parameters=sizes.parameters,
        active=sizes.active,
        parts=sizes.parts,
        stored_as=", ".join(dtypes),
        weight_bytes=sizes.weight_bytes(),
        cache_bytes_per_token=2 * sizes.cache_numbers,
        layers=shape.layers,
        width=shape.width,
        context=shape.context,
        tokenizer=type(model.tokenizer).__name__,
        vocabulary=model.tokenizer.vocabulary_size,
        specials=dict(model.tokenizer.specials),
        template="ChatML" if model.template is not None and model.template.source == CHATML else template,
        provenance={name: value for name, value in history.items() if value is not None and name != "family"},
    )


def _shown(value: Any) -> str:
    """Format a value of the provenance for a reader."""
    if isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value):
        return ", ".join(f"{each['name']} ({each.get('licence') or 'licence not stated'})" for each in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if isinstance(value, float) else str(value)
