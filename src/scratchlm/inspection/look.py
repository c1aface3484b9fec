"""`look`: several views of one prediction together, for a terminal, for Python and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from rich.console import Group, RenderableType
from rich.text import Text as RichText
from torch import Tensor

from scratchlm.base.errors import UserError, nearest
from scratchlm.base.result import Result
from scratchlm.data.encoding import first_tokens
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection import panels
from scratchlm.inspection.ablation import patch
from scratchlm.inspection.config import DEFAULT
from scratchlm.inspection.page.writing import write_page
from scratchlm.inspection.panels import Panel
from scratchlm.inspection.prediction import Prediction, one_token, predict

WRITTEN, LENGTH = 96, 64
"""Texts that a model writes for views that need some, and the most tokens of each."""
MOST = 200_000
"""Tokens of a text that are read."""
OF_A_PART = ("neurons",)
"""Views of a part that not every model has."""
FRAME = 720
"""Height of the page in a notebook, in pixels."""


@dataclass(frozen=True)
class ViewSettings:
    """What is asked of a prediction beside the text itself."""

    target: str | int | None = None
    """The next token in question; None: the likeliest."""
    against: str | None = None
    """Another token, for attribution."""
    patch: str | Int[Tensor, "1 T"] | None = None
    """Another text of as many tokens, or its ids."""
    neighbours: str | None = None
    """The token whose neighbours are shown; None: that in question."""
    features: int = 512
    """Features of a sparse autoencoder."""
    layer: int | None = None
    """Its layer; None: the one in the middle."""
    texts: str | None = None
    """Text for the views that are trained; None: the model writes its own."""


@dataclass(frozen=True, repr=False)
class Look(Result):
    """Views of a prediction. `panels` holds them by name, with tables and numbers."""

    prediction: Prediction
    source: Prediction | None
    """The other text, where one was given."""
    panels: dict[str, Panel] = field(default_factory=dict)

    def __rich__(self) -> RenderableType:
        text = "".join(self.prediction.pieces)
        return Group(RichText(f"{text!r}, {len(self.prediction.pieces)} tokens"), RichText(""), *self.panels.values())

    def as_dict(self) -> dict[str, Any]:
        """Return tokens and the numbers of every view."""
        shown = {name: panel.as_dict() for name, panel in self.panels.items()}
        return {"tokens": self.prediction.pieces, "ids": self.prediction.ids[0].tolist(), **shown}

    def page(self) -> str:
        """Return the page of `scratchlm inspect --page`: one file that works offline."""
        return write_page(self.prediction, self.source, self.panels)

    def _repr_html_(self) -> str:
        escaped = html.escape(self.page(), quote=True)
        return (
            f'<iframe srcdoc="{escaped}" style="width:100%;height:{FRAME}px;border:0" sandbox="allow-scripts"></iframe>'
        )


def look(
    model: LanguageModel,
    text: str | Int[Tensor, "1 T"],
    views: Sequence[str] = DEFAULT,
    settings: ViewSettings | None = None,
) -> Look:
    """Return views of what a model says after a text; names are those of `VIEWS`, or the default ones.

    Raises `UserError` for unknown views, for one that this model does not have, with those that remain, and for a text
    that the model cannot read.
    """
    asked = settings or ViewSettings()
    unknown = [each for each in views if each not in VIEWS]
    if unknown:
        raise UserError(f"view {unknown[0]!r}: {nearest(unknown[0], VIEWS)}")
    seen = predict(model, text, asked.target)
    source = None if asked.patch is None else predict(model, asked.patch)
    shown = {"next": panels.next_panel(seen)}
    for name in views:
        try:
            shown[name] = VIEWS[name](seen, source, asked)
        except UserError as error:
            if name not in OF_A_PART:
                raise
            raise UserError(f"{error} (other views: {', '.join(each for each in VIEWS if each != name)})") from error
    return Look(seen, source, shown)


def _texts(seen: Prediction, asked: ViewSettings) -> Int[Tensor, "N T"]:
    """Return texts of equal length: of a file, or as the model writes them."""
    model = seen.model
    if asked.texts is not None:
        ids = first_tokens(asked.texts, model.tokenizer, MOST)
    else:
        written = model.generate([""] * WRITTEN, max_tokens=LENGTH, temperature=1.0, seed=0)
        ids = [id for text in written for id in (*model.prompt_ids(""), *model.tokenizer.encode(text))]
    length = min(LENGTH, model.decoder.config.context)
    if len(ids) < 8 * length:
        where = "the model writes too little" if asked.texts is None else asked.texts
        raise UserError(
            f"texts: {len(ids):,} tokens; {8 * length:,} are needed ({where}); give a longer one by --texts"
        )
    return torch.tensor(ids[: len(ids) // length * length]).view(-1, length)


def _patching(seen: Prediction, source: Prediction | None, asked: ViewSettings) -> Panel:
    if source is None:
        raise UserError("patching: needs another text; give --patch")
    return panels.patching_panel(seen, source)


def _paths(seen: Prediction, source: Prediction | None, asked: ViewSettings) -> Panel:
    if source is None:
        raise UserError("paths: need another text; give --patch")
    return panels.paths_panel(seen, source, patch(seen, source))


def _features(seen: Prediction, source: Prediction | None, asked: ViewSettings) -> Panel:
    layer = seen.decoder.config.layers // 2 if asked.layer is None else asked.layer
    return panels.features_panel(seen, _texts(seen, asked), layer, asked.features)


def _against(seen: Prediction, asked: ViewSettings) -> int | None:
    return None if asked.against is None else one_token(seen.model, asked.against)


def _neighbours(seen: Prediction, source: Prediction | None, asked: ViewSettings) -> Panel:
    token = seen.target if asked.neighbours is None else one_token(seen.model, asked.neighbours)
    return panels.neighbours_panel(seen, token)


View = Callable[[Prediction, Prediction | None, ViewSettings], Panel]
VIEWS: dict[str, View] = {
    "losses": lambda seen, source, asked: panels.losses_panel(seen),
    "attention": lambda seen, source, asked: panels.attention_panel(seen),
    "lens": lambda seen, source, asked: panels.lens_panel(seen),
    "tuned_lens": lambda seen, source, asked: panels.tuned_lens_panel(seen, _texts(seen, asked)),
    "attribution": lambda seen, source, asked: panels.attribution_panel(seen, _against(seen, asked)),
    "neurons": lambda seen, source, asked: panels.neurons_panel(seen, _against(seen, asked)),
    "ablation": lambda seen, source, asked: panels.ablation_panel(seen),
    "patch": _patching,
    "paths": _paths,
    "map": lambda seen, source, asked: panels.map_panel(seen),
    "heads": lambda seen, source, asked: panels.heads_panel(seen),
    "neighbours": _neighbours,
    "features": _features,
}
"""Every view of a prediction by its name."""
