"""The model card (README.md) of an exported model: architecture, training data, results and limits."""

from __future__ import annotations

import json
import re
from typing import Any

from scratchlm.weights.checkpoint import SavedModel

WATTS = 65
"""Assumed power of a laptop or a small desktop computer under load, in watts."""
PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z][a-z0-9.+-]*( [a-z0-9.+-]+)*", re.IGNORECASE)
"""Texts that YAML needs no quotes for."""


def model_card(model: SavedModel, architecture: str) -> str:
    """Return a model card in Markdown from the provenance in the model's folder; unknown facts are marked as such."""
    config, provenance = model.decoder.config, model.provenance
    sources = provenance.get("sources") or []
    licences = sorted({one_line(source.get("licence")) or "not stated" for source in sources})
    stated = licences + ([one_line(provenance["licence"])] if provenance.get("licence") else [])
    known = {licence.lower(): licence for licence in reversed(stated)}
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: text-{'generation' if model.classes is None else 'classification'}",
        *([f"license: {_yaml(next(iter(known)))}"] if len(known) == 1 and "not stated" not in known else []),
        "---",
        "",
        f"# {one_line(provenance.get('name')) or 'A language model made with scratchlm'}",
        "",
        f"{model.decoder.parameter_count():,} parameters, {config.layers} layers of {config.width}, a vocabulary of "
        f"{config.vocabulary_size:,} and a context of {config.context:,}; loads as `{architecture}`.",
        "",
        "## Training",
        "",
    ]
    facts = {"recipe": "Recipe", "steps": "Steps", "init": "Began from", "source": "Taken over from"}
    facts["licence"] = "Licence of what was taken over"
    lines += [
        f"- {title}: {one_line(provenance[key])}" for key, title in facts.items() if provenance.get(key) is not None
    ]
    texts = [(one_line(source["name"]), one_line(source.get("licence")) or "not stated") for source in sources]
    lines += [f"- Text: {name}, licence {licence}" for name, licence in texts] or ["- Text: not known to this folder"]
    if provenance.get("tokens"):
        lines.append(f"- Tokens: about {provenance['tokens']:,}")
    if provenance.get("bits_per_byte") is not None:
        loss = f", {provenance['loss']:.3f} nats a token" if provenance.get("loss") is not None else ""
        lines.append(f"- Held-out loss: {provenance['bits_per_byte']:.3f} bits a byte{loss}")
    lines.append(f"- Energy: {_energy(provenance.get('seconds'), provenance.get('joules'))}")
    if len(known) > 1:
        mixed = ", ".join(sorted(known.values()))
        lines += ["", f"**Material of different licences was mixed: {mixed}.** Heed each before sharing."]
    return "\n".join([*lines, "", "## Use", "", _use(model)]) + "\n"


def _use(model: SavedModel) -> str:
    classes = model.classes
    if classes is None:
        can = "answers in conversations" if model.template else "continues text; it has learned no conversations"
        limits = "it repeats what its text was like, states falsehoods fluently, and is no source of facts or advice"
        return f"It {can}. It is small: {limits}."
    use = f"It puts texts into classes: {', '.join(map(one_line, classes.labels))}."
    if classes.positive is not None:
        use += f" Say {classes.positive!r} from a probability of {classes.threshold:.3f} on."
    if classes.long != "head":
        use += f" Its own program reads long texts by {classes.long}; transformers reads their beginning alone."
    return f"{use} It is small, and as good as the texts that it learned from."


def _energy(seconds: float | None, joules: float | None) -> str:
    """Return the energy as it was counted, or estimate it from the time of training, with the assumption."""
    if joules is not None:
        return f"at least {joules / 3600:.3g} Wh, counted for the processors of the whole machine during the training"
    if not seconds:
        return "not measured"
    return f"not measured; {seconds / 3600:.2f} hours, about {WATTS * seconds / 3600:.0f} Wh if it drew {WATTS} W"


def one_line(text: Any) -> str:
    """Return a text on one line, so that it cannot start a heading or a field."""
    return "" if text is None else " ".join(str(text).split())


def _yaml(text: str) -> str:
    """Return a text as a YAML scalar, in JSON's quotes unless it needs none."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
