"""`scratchlm inspect`: what a model is made of, its weights, or why it goes on with a text as it does."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from scratchlm.base.device import set_threads
from scratchlm.base.errors import UserError
from scratchlm.base.files import require_file_place, write_text
from scratchlm.base.result import Result
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.inspection.config import InspectConfig
from scratchlm.inspection.look import Look, ViewSettings, look
from scratchlm.inspection.page.writing import require_shown
from scratchlm.inspection.panels import Panel, heads_panel, neighbours_panel
from scratchlm.inspection.parameters import Inspected, describe
from scratchlm.inspection.prediction import one_token, predict
from scratchlm.inspection.spectra import Spectrum, spectra
from scratchlm.weights.checkpoint import find_model, list_checkpoints, load_model


@dataclass(frozen=True, repr=False)
class ModelViews(Result):
    """Views of a model alone."""

    panels: dict[str, Panel]

    def __rich__(self) -> RenderableType:
        return Group(*self.panels.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers of every view."""
        return {name: panel.as_dict() for name, panel in self.panels.items()}


@dataclass(frozen=True, repr=False)
class WeightSizes(Result):
    """Norms and singular values of the matrices of a model, or of the checkpoints of a run."""

    models: dict[str, list[Spectrum]]

    def __rich__(self) -> RenderableType:
        first, last = next(iter(self.models)), list(self.models)[-1]
        one = first == last
        table = Table(title=f"Weights of {last}" if one else f"Weights of {first} and {last}", title_justify="left")
        for at, column in enumerate(("matrix", "root mean square", "largest singular value", "stable rank")):
            table.add_column(column, justify="left" if at == 0 else "right", overflow="fold")
        for before, after in zip(self.models[first], self.models[last], strict=True):
            pairs = [(each.norm, each.largest, each.stable_rank) for each in (before, after)]
            cells = [f"{b:,.3g}" if one else f"{a:,.3g} → {b:,.3g}" for a, b in zip(*pairs, strict=True)]
            table.add_row(Text(after.name), *cells)
        note = "Stable rank: how many directions of a matrix count, from 1 to its smaller side."
        return Group(table, Text(note))

    def as_dict(self) -> dict[str, Any]:
        """Return all sizes, singular values too."""
        return {
            model: [{"name": each.name, "norm": each.norm, "singular": each.singular.tolist()} for each in sizes]
            for model, sizes in self.models.items()
        }


def inspect(config: InspectConfig) -> Inspected | Look | WeightSizes | ModelViews:
    """Look into a model. Raises `UserError` where it is no model folder, and for what this model does not have."""
    set_threads(config.threads)
    if config.weights:
        return weight_sizes(config.model)
    if config.prompt is None and not (config.heads or config.neighbours):
        return describe(find_model(config.model))
    if config.page is not None:
        require_file_place(config.page)
    model = load(config.model, "cpu")
    if config.prompt is None:
        return _of_model(model, config)
    other = None if config.patch is None else _ids(model, config, config.patch)
    settings = ViewSettings(
        config.target, config.against, other, config.neighbours, config.features or 512, config.layer, config.texts
    )
    ids = _ids(model, config, config.prompt)
    if config.page is not None:
        require_shown(ids)
    looked = look(model, ids, config.views, settings)
    if config.page is not None:
        write_text(config.page, looked.page())
        print(f"{config.page}: open it in a browser", file=sys.stderr)
    return looked


def weight_sizes(place: Path) -> WeightSizes:
    """Return the sizes of a model's matrices; of a run those of all its checkpoints."""
    saved = list_checkpoints(place / "checkpoints")
    folders = {folder.name: folder for folder in sorted(saved)} if saved else {str(place): find_model(place)}
    return WeightSizes({name: spectra(load_model(folder).decoder) for name, folder in folders.items()})


def _of_model(model: LanguageModel, config: InspectConfig) -> ModelViews:
    """Return the views that need no text."""
    seen = predict(model, torch.tensor([[one_token(model, config.neighbours or 0)]]))
    panels = {"heads": heads_panel(seen)} if config.heads else {}
    if config.neighbours is not None:
        panels["neighbours"] = neighbours_panel(seen, one_token(model, config.neighbours))
    return ModelViews(panels)


def _ids(model: LanguageModel, config: InspectConfig, text: str) -> Int[Tensor, "1 T"]:
    """Return a text, as a user's message where that is wanted, with what the model writes after it."""
    _, template = model.answering()
    if config.chat and template is None:
        raise UserError("--chat: this model has learned no conversations; leave it out")
    ids = model.prompt_ids(text)
    if config.chat and template is not None:
        ids = template.render([{"role": "user", "content": text}], reply=True).ids
    for _ in range(config.new):
        model.check_length(len(ids), "prompt and new tokens")
        ids.append(predict(model, torch.tensor([ids])).target)
    return torch.tensor([ids])
