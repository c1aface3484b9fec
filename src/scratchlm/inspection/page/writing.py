"""Writing the page: what is inside a model, as one HTML file.

A small model goes into the page and runs there, so that a click changes what it says. Of a larger one the page holds
the values of this prompt alone, computed here.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.memory import require_memory
from scratchlm.inspection.ablation import ablate
from scratchlm.inspection.attribution import attribute
from scratchlm.inspection.lens import logit_lens
from scratchlm.inspection.neighbours import embedding_map, nearest_tokens
from scratchlm.inspection.panels import Panel, heads_panel, losses_panel, neurons_panel, patching_panel
from scratchlm.inspection.points import points
from scratchlm.inspection.prediction import Prediction
from scratchlm.inspection.spectra import spectra
from scratchlm.weights.html.writing import file_of, filled, model_for_scripts

HERE, THERE = "scratchlm.inspection.page", "scratchlm.weights.html"
SCRIPTS = (
    (THERE, "tokenizer.js"), (THERE, "forward.js"), (THERE, "generating.js"),
    (HERE, "reading.js"), (HERE, "drawing.js"), (HERE, "page.js"),
)  # fmt: skip
LIVE = 2_000_000
"""Most parameters of a model that runs in its page: at 8 bits, in base64, 2.8 MB."""
VALUES = 4_000_000
"""Most numbers of attention, queries and keys that a page holds; of more it holds attention alone."""
LONGEST = 256
"""Most tokens of a prompt of a page."""
NEXT, MAPPED, NEAR = 10, 120, 6
"""Likeliest tokens that are shown, tokens on the map, neighbours of each."""
WORDS = 12
"""Most words of a text in the title."""
AS_TABLES = ("losses", "tuned_lens", "paths", "features")
"""Views that a page shows as the terminal does."""
BEHAVIOURS = (
    (
        "Copying", " the red hat and a blue key . the red hat and a blue",
        "The text says something twice. A head that finds what followed last time (an induction head) lets the model "
        "go on as before.",
    ),
    (
        "Agreement", "The dogs near the old house",
        "Words stand between the subject and its verb. Which head looks back at the subject?",
    ),
    (
        "An open quotation", 'One day he said, "I am',
        "A quotation is open. Which part knows that it has to end, and raises the closing mark?",
    ),
)  # fmt: skip
"""Prompts that show known behaviour, for a model that runs in its page."""


def write_page(seen: Prediction, source: Prediction | None, panels: Mapping[str, Panel]) -> str:
    """Return the page. Raises `UserError` for a prompt that is too long for one."""
    require_shown(seen.ids)
    decoder, config = seen.decoder, seen.decoder.config
    live = _live(seen)
    readings = [_reading(seen, panels, live is None)]
    readings += [] if source is None else [_reading(source, {}, live is None)]
    data: dict[str, Any] = {
        "live": live,
        "readings": readings,
        "facts": {
            "parameters": decoder.parameter_count(), "layers": config.layers, "heads": config.attention.heads,
            "width": config.width, "vocabulary": config.vocabulary_size,
        },
        "behaviours": [] if live is None else _behaviours(seen, live),
        "heads": dict((panels.get("heads") or heads_panel(seen)).data),
        "map": _map(seen, readings),
        "neurons": _neurons(seen),
        "patch": None if source is None else dict((panels.get("patch") or patching_panel(seen, source)).data),
        "panels": [_table(panels[name]) for name in AS_TABLES if name in panels],
        "weights": _weights(seen),
    }  # fmt: skip
    data["names"] = {} if live is not None else _names(seen, data)
    script = "\n".join(file_of(*each) for each in SCRIPTS)
    title = f"Why does it write “{seen.piece(seen.target).strip()}” after “{_said(seen)}”?"
    return filled(file_of(HERE, "page.html"), title, file_of(HERE, "page.css"), script, data)


def require_shown(ids: Int[Tensor, "1 T"]) -> None:
    """Raise `UserError` for a prompt that is too long for a page."""
    if ids.size(1) > LONGEST:
        raise UserError(f"--page: {ids.size(1)} tokens; a page shows {LONGEST} at most; give a shorter prompt")


def _said(seen: Prediction) -> str:
    """Return the last words before the token in question; of a conversation those of the newest turn that has any."""
    specials = set(seen.model.tokenizer.specials.values())
    turns = [""]
    for id, piece in zip(seen.ids[0].tolist(), seen.pieces, strict=False):
        if id in specials:
            turns.append("")
        else:
            turns[-1] += piece
    # What stands before a line break, after a special token, names the speaker.
    said = [turn.partition("\n")[2] if at and "\n" in turn else turn for at, turn in enumerate(turns)]
    return " ".join(next((turn for turn in reversed(said) if turn.strip()), "").split()[-WORDS:])


def _live(seen: Prediction) -> dict[str, Any] | None:
    """Return a model small enough to run in the page; None for a larger one, or one that the scripts do not run."""
    if seen.decoder.parameter_count() > LIVE:
        return None
    try:
        return model_for_scripts(seen.model.saved)
    except UserError:
        return None


def _behaviours(seen: Prediction, live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the prompts that show known behaviour; of a model that answers, a question of its own too."""
    shown: list[dict[str, Any]] = [dict(zip(("name", "text", "about"), each, strict=True)) for each in BEHAVIOURS]
    questions = seen.model.saved.provenance.get("questions")
    if live["conversation"] is not None and isinstance(questions, list) and questions:
        about = (
            "The answer stands in texts that the model read in training. Write it token by token, and look at the name."
        )
        shown.append({"name": "A fact", "text": str(questions[0]), "about": about, "chat": True})
    return shown


def _reading(seen: Prediction, panels: Mapping[str, Panel], whole: bool) -> dict[str, Any]:
    """Return one prompt's values; `whole` those too that a page computes which runs the model.

    What `panels` of the prompt hold already is not computed again.
    """
    decoder, length = seen.decoder, seen.ids.size(1)
    config = decoder.config
    without = panels["ablation"].result if "ablation" in panels else ablate(seen)
    losses = losses_panel(seen).data
    reading = {
        "ids": seen.ids[0].tolist(), "target": seen.target, "probability": seen.probability,
        "losses": _finite(losses["losses"]), "gradients": _finite(losses["gradients"]),
        "without": {
            "heads": _rounded(without.heads), "attention": _rounded(without.attention),
            "feed_forward": _rounded(without.feed_forward),
        },
    }  # fmt: skip
    if not whole:
        return reading
    shares, lens = attribute(seen), logit_lens(seen, top=3)
    places = config.layers * config.attention.heads * length
    require_memory(4 * places * length, "the page's attention", "give a shorter prompt")
    watched = seen.watch("attn.hook_pattern")
    lower = torch.tril_indices(length, length, device=decoder.device)
    pattern = torch.stack([each[0][:, lower[0], lower[1]] for each in watched.values()])  # (L, H, T (T + 1) / 2)
    reading |= {
        "next": seen.likeliest(NEXT),
        "pattern": _bytes((pattern * 255).round().to(torch.uint8)),
        "lens": [
            list(zip(ids, chances, strict=True))
            for ids, chances in zip(lens.ids[:, -1].tolist(), _rounded(lens.probabilities[:, -1]), strict=True)
        ],
        "shares": {
            "embedding": shares.embedding, "rest": shares.rest, "logit": shares.logit, "heads": _rounded(shares.heads),
            "attention_bias": _rounded(shares.attention_bias), "feed_forward": _rounded(shares.feed_forward),
        },
    }  # fmt: skip
    numbers = places * config.attention.key_dim
    plain = all(each.window is None and each.softcap is None for each in decoder.attentions)
    if 2 * numbers <= VALUES and plain:  # the page explains a score by all earlier tokens, and without a cap
        kind = "rot_" if "blocks.0.attn.hook_rot_q" in points(decoder) else ""
        vectors = seen.watch(f"hook_{kind}q", f"hook_{kind}k")
        for name in "qk":
            stacked = torch.stack([value[0] for each, value in vectors.items() if each.endswith(name)])  # (L, T, H, E)
            reading[name] = {"heads": stacked.size(2), "size": stacked.size(3), "values": _bytes(stacked.half())}
    return reading


def _rounded(values: Tensor) -> Any:
    return torch.round(values.float(), decimals=5).tolist()


def _finite(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 4) for value in values]


def _bytes(values: Tensor) -> str:
    return base64.b64encode(values.contiguous().cpu().numpy().tobytes()).decode("ascii")


def _map(seen: Prediction, readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the places of the prompt's tokens and of others on a map of the embedding, with the neighbours of each."""
    size = seen.decoder.config.vocabulary_size
    own = dict.fromkeys(id for reading in readings for id in (*reading["ids"], reading["target"]))
    words = (id for id in range(size) if seen.piece(id).strip().isalpha() and len(seen.piece(id).strip()) > 2)
    chosen = [*own, *(id for id in words if id not in own)][: MAPPED + len(own)]
    if len(chosen) < 3:
        chosen = list(range(min(size, MAPPED)))
    places, share = embedding_map(seen.decoder, chosen)
    near = {
        id: [[other, round(cosine, 2)] for other, cosine in nearest_tokens(seen.decoder, id, NEAR)] for id in chosen
    }
    return {"ids": chosen, "places": _rounded(places), "share": share, "near": near}


def _neurons(seen: Prediction) -> list[dict[str, Any]]:
    try:
        return list(neurons_panel(seen).data["neurons"])
    except UserError:
        return []  # a mixture of experts has no single set of them


def _table(panel: Panel) -> dict[str, Any]:
    return {"title": panel.title, "sentence": panel.sentence, "columns": panel.columns, "rows": panel.rows}


def _weights(seen: Prediction) -> list[dict[str, Any]]:
    """Return a table of the sizes of a small model's matrices; of a larger one they take too long."""
    if seen.decoder.parameter_count() > LIVE:
        return []
    sizes = [(each.name, each.norm, each.largest, each.stable_rank) for each in spectra(seen.decoder)]
    rows = [[name, *(f"{size:.3g}" for size in of)] for name, *of in sizes]
    sentence = "The stable rank says how many directions of a matrix count, from 1 to its smaller side."
    columns = ["matrix", "root mean square", "largest singular value", "stable rank"]
    return [{"title": "Sizes of the weights", "sentence": sentence, "columns": columns, "rows": rows}]


def _names(seen: Prediction, data: Mapping[str, Any]) -> dict[int, str]:
    """Return the texts of all tokens that a page shows which does not hold the tokenizer."""
    ids = {id for near in data["map"]["near"].values() for id, _ in near} | set(data["map"]["ids"])
    ids |= {id for neuron in data["neurons"] for id, _ in neuron["raised"]}
    for reading in data["readings"]:
        ids |= {*reading["ids"], reading["target"], *(id for id, _ in reading["next"])}
        ids |= {id for layer in reading["lens"] for id, _ in layer}
    return {id: seen.piece(id) for id in sorted(ids)}
