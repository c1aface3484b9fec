"""Each view of a prediction as a panel: a sentence, a table for a terminal, and the numbers themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.memory import require_memory
from scratchlm.base.progress import CountedProgress
from scratchlm.inspection.ablation import Patches, Reads, ablate, patch, patch_path
from scratchlm.inspection.attribution import attribute, attribute_neurons
from scratchlm.inspection.dictionary import feature_effect, fit_dictionary, layer_vectors, quality, top_examples
from scratchlm.inspection.lens import Lens, fit_tuned_lens, logit_lens
from scratchlm.inspection.neighbours import embedding_map, nearest_tokens, neuron_tokens
from scratchlm.inspection.patterns import EARLIEST, FIRST, NAMED, SPECIFIC, pattern_scores
from scratchlm.inspection.prediction import Prediction
from scratchlm.inspection.saliency import token_gradients, token_losses
from scratchlm.inspection.trace import attention_maps
from scratchlm.model.hook import PATTERN

BYTES_OF_A_NUMBER = 40
"""Bytes of a number in a list, about: the number and its place."""
ROWS = 10
"""Rows of a table."""
WIDE = 4
"""Most heads of a layer that stand side by side, in 80 columns."""
REPEATED, ONCE = 8, 24
"""Texts of random tokens, and tokens that are repeated in each, by which heads are scored."""
SENDERS = 8
"""Heads whose paths are patched."""
INPUTS: Mapping[Reads, str] = {"q": "queries", "k": "keys", "v": "values"}
HELD_OUT = 0.1
"""Share of texts that a dictionary is judged by."""
LENS_STEPS, FEATURE_STEPS = 200, 1_000
"""Training steps of a tuned lens and of a sparse autoencoder."""


@dataclass(frozen=True)
class Panel:
    """One view."""

    title: str
    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any] = field(default_factory=dict)
    """The numbers, as plain data."""
    result: Any = None
    """What they were taken from, where a page shows it in another way."""

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers in lists."""
        tensors = {name: value for name, value in self.data.items() if isinstance(value, Tensor)}
        numbers = sum(value.numel() for value in tensors.values())
        require_memory(BYTES_OF_A_NUMBER * numbers, f"the numbers of {self.title.lower()}", "give a shorter text")
        return {**self.data, **{name: value.tolist() for name, value in tensors.items()}}

    def __rich__(self) -> RenderableType:
        table = Table(title=self.title, title_justify="left")
        for at, column in enumerate(self.columns):
            table.add_column(column, justify="left" if at == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(table, Text(self.sentence), Text(""))


def spelled(piece: str) -> str:
    """Return a token as it is read in a table: white space is seen."""
    shown = piece.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in shown) or "∅"


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{share:.1%}" if abs(share) >= 0.0005 or share == 0 else "<0.1%"


def next_panel(seen: Prediction) -> Panel:
    """The likeliest next tokens."""
    best = seen.likeliest(ROWS)
    rows = [[spelled(seen.piece(id)), percent(share)] for id, share in best]
    sentence = f"In question is {spelled(seen.piece(seen.target))}, {percent(seen.probability)}."
    return Panel("What comes next", sentence, ["token", "probability"], rows, {"next": best})


def losses_panel(seen: Prediction) -> Panel:
    """The loss of each token, and how fast the answer's would change with each."""
    losses = token_losses(seen)
    try:
        lengths, products = token_gradients(seen)
    except UserError:  # weights that are rounded to integers have no gradient
        lengths = products = torch.full_like(losses, math.nan)
    rows = [
        [spelled(piece), *("" if value.isnan() else f"{value:.2f}" for value in (loss, length, product))]
        for piece, loss, length, product in zip(seen.pieces, losses, lengths, products, strict=True)
    ]
    sentence = (
        "Loss in nats: how much a token surprised the model. Gradient: how fast the answer's loss would change with a "
        "small change of the token's vector."
    )
    numbers = {"losses": losses, "gradients": lengths, "products": products}
    data = {name: [None if value.isnan() else float(value) for value in values] for name, values in numbers.items()}
    return Panel("Tokens", sentence, ["token", "loss", "gradient", "times vector"], rows, data)


def attention_panel(seen: Prediction) -> Panel:
    """Where each head looks from the last token; of many heads those that look most at another token than the first."""
    maps = torch.stack([layer[0] for layer in attention_maps(seen.model, seen.ids)])  # (L, H, T, T)
    last = maps[:, :, -1]
    title, data = "Attention", {PATTERN: maps}
    if maps.size(1) <= WIDE:
        weights, places = last.max(-1)
        rows = [
            [f"layer {layer}", *(_looked(seen, int(at), float(weight)) for at, weight in zip(where, how, strict=True))]
            for layer, (where, how) in enumerate(zip(places, weights, strict=True))
        ]
        sentence = (
            "From the last token: the position and token that each head looks at most, and how much of its attention "
            "that is."
        )
        return Panel(title, sentence, ["", *(f"head {head}" for head in range(maps.size(1)))], rows, data)
    weights, places = last[..., min(1, last.size(-1) - 1) :].max(-1)
    rows = []
    for place in weights.flatten().topk(min(2 * ROWS, weights.numel())).indices.tolist():
        layer, head = place // weights.size(1), place % weights.size(1)
        at = int(places[layer, head]) + min(1, last.size(-1) - 1)
        rows.append([f"layer {layer} head {head}", _looked(seen, at, float(weights[layer, head]))])
    first = float((last.argmax(-1) == 0).float().mean())
    sentence = (
        f"The heads that look most, from the last token, at another than the first (position and token). Of all "
        f"{weights.numel()} heads, "
        f"{first:.0%} look most at the first one."
    )
    return Panel(title, sentence, ["", "looks at"], rows, data)


def _looked(seen: Prediction, place: int, weight: float) -> str:
    return f"{place} {spelled(seen.pieces[place])} {weight:.0%}"


def lens_panel(seen: Prediction, lens: Lens | None = None, name: str = "Logit lens") -> Panel:
    """What the model would say if it ended after each layer."""
    lens = logit_lens(seen) if lens is None else lens
    rows = []
    for layer in range(len(lens.ids)):
        best = zip(lens.ids[layer, -1, :3].tolist(), lens.probabilities[layer, -1, :3].tolist(), strict=True)
        said = "  ".join(f"{spelled(seen.piece(id))} {share:.0%}" for id, share in best)
        after = "embedding" if layer == 0 else f"layer {layer - 1}"
        rows.append([after, said, percent(float(lens.target[layer])), f"{lens.divergence[layer, -1]:.2f}"])
    sentence = "What the model would say if it ended there; nats are how far that is from its answer."
    data = {name: getattr(lens, name).tolist() for name in ("ids", "probabilities", "target", "divergence")}
    question = spelled(seen.piece(seen.target))
    return Panel(name, sentence, ["after", "likeliest", question, "nats"], rows, data)


def _ranked(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda pair: -abs(pair[1]))


def attribution_panel(seen: Prediction, other: int | None = None) -> Panel:
    """What each part adds by itself to the score of the token."""
    shares = attribute(seen, other)
    parts = {"embedding": shares.embedding, "final norm's bias": shares.rest}
    parts |= {f"feed-forward {layer}": float(share) for layer, share in enumerate(shares.feed_forward)}
    parts |= {f"attention {layer}'s bias": float(share) for layer, share in enumerate(shares.attention_bias)}
    parts |= {
        f"layer {layer} head {head}": float(shares.heads[layer, head])
        for layer in range(len(shares.heads)) for head in range(shares.heads.size(1))
    }  # fmt: skip
    ranked = [(name, share) for name, share in _ranked(parts) if abs(share) > 1e-6]
    rows = [[name, f"{share:+.3f}"] for name, share in ranked[:ROWS]]
    if ranked[ROWS:]:
        rows.append([f"{len(ranked) - ROWS} others", f"{sum(share for _, share in ranked[ROWS:]):+.3f}"])
    capped = "" if seen.decoder.config.logit_softcap is None else ", before the softcap"
    what = "the logit" if other is None else "the difference of logits"
    rows.append([f"sum: {what}{capped}", f"{shares.total:+.3f}"])
    less = "" if other is None else f" less that of {spelled(seen.piece(other))}"
    sentence = f"What each part adds, by itself, to the logit of {spelled(seen.piece(seen.target))}{less}."
    return Panel("Attribution", sentence, ["part", "share"], rows, {"parts": parts, "logit": shares.logit}, shares)


def neurons_panel(seen: Prediction, other: int | None = None) -> Panel:
    """The neurons that add most to the score of the token, and the tokens whose scores they raise most here."""
    shares = attribute_neurons(seen, other)
    active = seen.watch("hook_post").stack("mlp.hook_post")[:, 0, -1]
    size = shares.size(1)
    rows, data = [], []
    for place in shares.flatten().abs().topk(min(ROWS, shares.numel())).indices.tolist():
        layer, neuron = place // size, place % size
        said = neuron_tokens(seen.decoder, layer, neuron, 5)
        activation = float(active[layer, neuron])
        best = said.raised if activation > 0 else [(id, -score) for id, score in said.lowered]
        raised = [(id, abs(activation) * score) for id, score in best]
        words = "  ".join(spelled(seen.piece(id)) for id, _ in raised)
        share = float(shares[layer, neuron])
        rows.append([f"layer {layer} neuron {neuron}", f"{activation:+.2f}", f"{share:+.3f}", words])
        data.append({"layer": layer, "neuron": neuron, "active": activation, "share": share, "raised": raised})
    sentence = "How active single neurons are here, what each adds to the logit, and the tokens that it raises most."
    return Panel("Neurons", sentence, ["neuron", "active", "share", "raises"], rows, {"neurons": data})


def ablation_panel(seen: Prediction) -> Panel:
    """What the probability would be without each part."""
    without = {way: ablate(seen, way) for way in ("zero", "mean")}
    values: dict[str, dict[str, float]] = {}
    for way, each in without.items():
        values[way] = {f"attention {layer}": float(chance) for layer, chance in enumerate(each.attention)}
        values[way] |= {f"feed-forward {layer}": float(chance) for layer, chance in enumerate(each.feed_forward)}
        values[way] |= {
            f"layer {layer} head {head}": float(each.heads[layer, head])
            for layer in range(len(each.heads)) for head in range(each.heads.size(1))
        }  # fmt: skip
    whole = seen.probability
    changes = _ranked({name: chance - whole for name, chance in values["zero"].items()})[:ROWS]
    rows = [[name, percent(values["zero"][name]), percent(values["mean"][name])] for name, _ in changes]
    sentence = (
        f"Probability of {spelled(seen.piece(seen.target))} when a part is set to zero or to its mean; "
        f"{percent(whole)} with all parts."
    )
    if seen.ids.size(1) == 1:
        sentence += " In a text of one token the mean is the value itself."
    return Panel("Ablation", sentence, ["without", "zero", "mean"], rows, {"whole": whole, **values}, without["zero"])


def patching_panel(seen: Prediction, source: Prediction) -> Panel:
    """Where the other text's answer comes from."""
    patches = patch(seen, source)
    cells: dict[str, float] = {}
    for name, values in (
        ("stream", patches.stream),
        ("attention", patches.attention),
        ("feed-forward", patches.feed_forward),
    ):
        for layer, row in enumerate(values.tolist()):
            cells |= {
                f"{name} {layer} at {place} {spelled(source.pieces[place])}": share for place, share in enumerate(row)
            }
    rows = [[name, f"{share:.0%}"] for name, share in sorted(cells.items(), key=lambda pair: -pair[1])[:ROWS]]
    heads = {
        f"layer {layer} head {head}": share
        for layer, row in enumerate(patches.heads.tolist()) for head, share in enumerate(row)
    }  # fmt: skip
    rows += [[name, f"{share:.0%}"] for name, share in _ranked(heads)[:5]]
    own, other = (spelled(each.piece(each.target)) for each in (seen, source))
    sentence = (
        f"One value of the other text put into this one: 0% says {own} as before, "
        f"100% says {other} as the other text does."
    )
    data = {name: getattr(patches, name).tolist() for name in ("stream", "attention", "feed_forward", "heads")}
    return Panel("Patching", sentence, ["what is patched", "back"], rows, data, patches)


def paths_panel(seen: Prediction, source: Prediction, patches: Patches) -> Panel:
    """The direct paths from earlier heads to the head that brings most of the other text's answer back."""
    size = patches.heads.size(1)
    ranked = [(place // size, place % size) for place in patches.heads.flatten().argsort(descending=True).tolist()]
    receiver = next((head for head in ranked if head[0] > 0), None)
    if receiver is None:
        raise UserError("--paths: this model has a single layer; a path needs two")
    senders = sorted(ranked, key=lambda head: -abs(float(patches.heads[head])))
    senders = [head for head in senders if head[0] < receiver[0]][:SENDERS]
    effects: dict[str, float] = {}
    for sender in senders:
        for reads in INPUTS:
            name = f"layer {sender[0]} head {sender[1]} to the {INPUTS[reads]}"
            effects[name] = patch_path(seen, source, sender, receiver, reads)
    rows = [[name, f"{share:.1%}"] for name, share in _ranked(effects)[:ROWS]]
    sentence = (
        f"To layer {receiver[0]} head {receiver[1]}, the head that brings most back: what one earlier head alone tells "
        f"it of the other text, on the direct path. Senders are the {len(senders)} heads that matter most by patching."
    )
    return Panel("Paths", sentence, ["path", "back"], rows, {"receiver": list(receiver), "effects": effects})


def map_panel(seen: Prediction) -> Panel:
    """Where the text's tokens lie on a map of their vectors."""
    ids = list(dict.fromkeys([*seen.ids[0].tolist(), seen.target]))
    places, share = embedding_map(seen.decoder, ids)
    rows = [[spelled(seen.piece(id)), f"{x:.2f}", f"{y:.2f}"] for id, (x, y) in zip(ids, places.tolist(), strict=True)]
    sentence = (
        f"The two main directions of the vectors of the text's tokens; they show {percent(share)} of what differs."
    )
    return Panel("Map", sentence, ["token", "first", "second"], rows, {"ids": ids, "places": places.tolist()})


def repeated_tokens(vocabulary_size: int, length: int, seed: int = 0) -> Int[Tensor, "N T"]:
    """Return texts of random tokens, to be given twice in a row."""
    return torch.randint(0, vocabulary_size, (REPEATED, length), generator=torch.Generator().manual_seed(seed))


def heads_panel(seen: Prediction) -> Panel:
    """What each head does in general: its scores on random tokens that are repeated."""
    config = seen.decoder.config
    length = min(ONCE, config.context // 2)
    if length <= EARLIEST:
        raise UserError(f"heads: the context of {config.context} is too short; repeated texts need {2 * EARLIEST + 2}")
    scores = pattern_scores(seen.decoder, repeated_tokens(config.vocabulary_size, length))

    def named(layer: int, head: int) -> str:
        best = max(SPECIFIC, key=lambda name: float(scores[name][layer, head]))
        score = float(scores[best][layer, head])
        return f"{best} {score:.2f}" if score > NAMED else "–"

    layers, heads = range(config.layers), range(config.attention.heads)
    sentence = (
        f"Mean attention of each head to a pattern, on random tokens given twice; above {NAMED} it is named after it."
    )
    data = {name: values.tolist() for name, values in scores.items()}
    if len(heads) <= WIDE:
        rows = [[f"layer {layer}", *(named(layer, head) for head in heads)] for layer in layers]
        return Panel("Heads", sentence, ["", *(f"head {head}" for head in heads)], rows, data)
    every = [(f"layer {layer} head {head}", named(layer, head)) for layer in layers for head in heads]
    rows = [[name, pattern] for name, pattern in every if pattern != "–" and not pattern.startswith(FIRST)]
    first = sum(pattern.startswith(FIRST) for _, pattern in every)
    sentence += f" Another {first} of {len(every)} look at the first token."
    return Panel("Heads", sentence, ["", "pattern"], rows, data)


def neighbours_panel(seen: Prediction, token: int) -> Panel:
    """The tokens whose vectors are nearest to one."""
    near = nearest_tokens(seen.decoder, token, ROWS)
    rows = [[spelled(seen.piece(id)), f"{cosine:.2f}"] for id, cosine in near]
    sentence = f"Tokens whose vectors point most as that of {spelled(seen.piece(token))} does."
    return Panel("Neighbours", sentence, ["token", "cosine"], rows, {"token": token, "near": near})


def tuned_lens_panel(seen: Prediction, texts: Int[Tensor, "N T"]) -> Panel:
    """The lens with a translation for each layer, trained on texts."""
    with CountedProgress("tuned lens", LENS_STEPS, "steps") as progress:
        lens = fit_tuned_lens(seen.decoder, texts, LENS_STEPS, after=progress.reached)
    return lens_panel(seen, logit_lens(seen, tuned=lens), "Tuned lens")


def features_panel(seen: Prediction, texts: Int[Tensor, "N T"], layer: int, features: int) -> Panel:
    """The features of a layer that are active at the last token: where else they are, and what they make likelier."""
    layers = seen.decoder.config.layers
    if not 0 <= layer < layers:
        raise UserError(f"layer {layer}: is missing; this model has layers 0 to {layers - 1}")
    name = f"blocks.{layer}.hook_resid_post"
    held_out = max(1, int(len(texts) * HELD_OUT))
    train, test = texts[held_out:], texts[:held_out]
    vectors = layer_vectors(seen.decoder, train, name)
    with CountedProgress("sparse autoencoder", FEATURE_STEPS, "steps") as progress:
        network = fit_dictionary(vectors, features, steps=FEATURE_STEPS, after=progress.reached)
    good = quality(seen.decoder, network, name, test)
    here: Float[Tensor, " F"] = network.encode(seen.watch(name)[name][0, -1:].float())[0]
    rows, data = [], []
    for feature in here.topk(min(5, int((here > 0).sum()))).indices.tolist():
        examples = top_examples(network, vectors, train.size(1), feature, 4)
        effect = feature_effect(seen.decoder, network, name, train, feature, examples)
        places = " | ".join(_around(seen, train[each.row], each.position) for each in examples[:3])
        words = " ".join(spelled(seen.piece(id)) for id, _ in effect.tokens[:4])
        rows.append([str(feature), f"{here[feature]:.2f}", places, words, f"{effect.moved:.2f}, {effect.control:.2f}"])
        data.append({"feature": feature, "activation": float(here[feature]), "effect": effect._asdict()})
    sentence = (
        f"{features:,} features of the stream after layer {layer} explain {good.explained:.0%} of it; loss "
        f"{good.loss:.2f}, {good.rebuilt:.2f} with the stream rebuilt from them, {good.ablated:.2f} with its mean. The "
        "last column: nats by which the answer moves without the feature, and without a random direction as long."
    )
    columns = ["feature", "active", "most active at", "makes likelier", "moves"]
    return Panel("Features", sentence, columns, rows, {"quality": good._asdict(), "features": data})


def _around(seen: Prediction, ids: Int[Tensor, " T"], place: int) -> str:
    """Return the tokens up to a place, which is marked."""
    before = seen.model.tokenizer.decode(ids[max(0, place - 4) : place].tolist())
    return f"{before}[{seen.piece(int(ids[place]))}]".replace("\n", "↵").strip()
