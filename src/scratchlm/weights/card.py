"""The README.md that goes with an exported model: what it is, what it was trained on, and what follows from that."""

from __future__ import annotations

from scratchlm.weights.checkpoint import SavedModel


def model_card(model: SavedModel, architecture: str) -> str:
    """Return a model card in Markdown, from what the model's folder knows; what is not known is said so."""
    config, told = model.decoder.config, model.provenance
    sources = told.get("sources") or []
    licences = sorted({source.get("licence") or "not stated" for source in sources})
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "---",
        "",
        f"# {told.get('name') or 'A language model made with scratchlm'}",
        "",
        f"{model.decoder.parameter_count():,} parameters, {config.layers} layers of {config.width}, a vocabulary of "
        f"{config.vocabulary_size:,} and a context of {config.context:,}; loads as `{architecture}`.",
        "",
        "## Training",
        "",
    ]
    facts = [("recipe", "Recipe"), ("steps", "Steps"), ("init", "Began from"), ("source", "Taken over from")]
    lines += [f"- {title}: {told[key]}" for key, title in facts if told.get(key) is not None]
    lines += [f"- Text: {source['name']}, licence {source.get('licence') or 'not stated'}" for source in sources]
    if not sources:
        lines.append("- Text: not known to this folder")
    if told.get("bits_per_byte") is not None:
        lines.append(f"- Held-out loss: {told['bits_per_byte']:.3f} bits a byte")
    lines.append("- Energy: not measured")
    if len(licences) > 1:
        lines += ["", f"**Texts of different licences were mixed: {', '.join(licences)}.** Heed each before sharing."]
    talks = model.template is not None
    lines += [
        "",
        "## Use",
        "",
        ("It answers in conversations" if talks else "It continues text; it has learned no conversations") + ". It is "
        "small: it repeats what its text was like, states falsehoods fluently, and is no source of facts or advice.",
    ]
    return "\n".join(lines) + "\n"
