"""`experiment ladder-translate`: short English sentences into German, by rules, word alignment and networks.

Pairs that share a sentence, in either language, are on the same side of the split, so no test sentence occurs in
training. All translations of a test sentence are references. The networks share a tokenizer, the pairs and the number
of epochs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.reading import require_plain
from scratchlm.base.statistics import bootstrap_interval
from scratchlm.classic.phrasebook import translate
from scratchlm.classic.translator import build_translator, write_recurrent
from scratchlm.classic.wordforword import WordForWord
from scratchlm.data.batches import Batch
from scratchlm.evaluation.prompting import ends_of, fitted
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.writing import write_targets
from scratchlm.lab.experiments.config import LadderTranslateConfig
from scratchlm.lab.harness.methods import Column, Method, add_comparison, add_groups, claim_gains, clocked, paired_by
from scratchlm.lab.harness.outcome import Outcome, Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.networks import PLAIN, fit_pairs
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.encoderdecoder import build_encoder_decoder
from scratchlm.model.network import SequenceModel
from scratchlm.model.presets import qwen3_shaped
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import find_model, load_model

LONGEST = 24
"""Most tokens of a generated translation."""
SHOWN = 8
"""Example pairs in the few-shot prompt of a published model."""
COLUMNS = (Column("chrf", "chrF, mean of sentences", ".1f", interval=True), Column("bleu", "BLEU", ".1f"))
LENGTHS = {"short": (1, 3, "to 3 words"), "middle": (4, 5, "4 and 5 words"), "long": (6, 99, "6 words and more")}
"""Groups of source lengths in words, for separate scores."""
CLAIMS = (
    ("rules-beat-copying", "rules", "copy", "Rules beat copying the source"),
    ("attention-helps", "attention", "recurrent", "Attention helps a recurrent translator"),
    ("transformer-beats-words", "transformer", "ibm1", "A transformer beats word-for-word translation"),
    ("transformer-beats-recurrent", "transformer", "attention",
     "A transformer beats a recurrent network with attention"),
    ("taught-beats-prompted", "decoder", "prompted",
     "A small decoder trained on pairs beats a published model prompted few-shot"),
)  # fmt: skip
"""Claims that the first of two methods scores higher than the second."""
Translate = Callable[[Sequence[str]], list[str]]
Make = Callable[["Pairs"], tuple[Translate, int]]
"""Function that trains a method on pairs; returns a translator and its size in bytes."""


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations."""

    train: list[tuple[str, str]]
    tested: list[tuple[str, list[str]]]


def methods(config: LadderTranslateConfig, hash_prefix: str = "") -> list[Method[Make]]:
    """Return the methods, the oldest first."""

    def fixed(translate: Callable[[str], str]) -> Make:
        return lambda pairs: (lambda texts: [translate(text) for text in texts], 0)

    found: list[Method[Make]] = [
        Method("copy", "source copied unchanged", fixed(str)),
        Method("rules", "rules: lexicon, agreement, order", fixed(translate)),
        Method("ibm1", "word for word, IBM model 1", partial(_word_for_word, config, 0)),
        Method("ibm2", "word for word, IBM model 2", partial(_word_for_word, config, config.rounds)),
        Method("recurrent", "recurrent, no attention", partial(_network, config, "recurrent")),
        Method("attention", "recurrent with attention", partial(_network, config, "attention")),
        Method("transformer", "encoder-decoder transformer", partial(_network, config, "transformer")),
        Method("decoder", "decoder only, pairs as text", partial(_network, config, "decoder")),
    ]
    if config.init is not None:
        found.append(Method("prompted", "published model, few-shot", partial(_prompted, config.init), hash_prefix))
    return found


def run(config: LadderTranslateConfig, steps: Steps, outcome: Outcome) -> None:
    """Run and compare all methods."""
    pairs = read_pairs(config.files()["pairs"], config.pairs, config.tested)
    chosen = methods(config, outcome.init_hash)
    found = {method.key: steps.once(method.step, _measure, method, pairs) for method in chosen}
    each = {key: np.array(result["each"]) for key, result in found.items()}
    results = []
    for method in chosen:
        measured = found[method.key]
        chrf = Value(measured["chrf"], *bootstrap_interval(each[method.key]))
        results.append(method.result({"chrf": chrf, "bleu": Value(measured["bleu"])}, measured))
    title = f"{len(pairs.train):,} training pairs, {len(pairs.tested):,} test sentences"
    compare = paired_by(each)
    add_comparison(outcome, title, results, COLUMNS, compare, "+.1f")
    sizes = np.array([len(source.split()) for source, _ in pairs.tested])
    groups = {name: (shown, (sizes >= low) & (sizes <= high)) for name, (low, high, shown) in LENGTHS.items()}

    def mean(key: str, inside: np.ndarray) -> Value:
        return Value(float(each[key][inside].mean()))

    add_groups(outcome, "chrF by the length of the source", "chrf", results, groups, mean, ".1f")
    outcome.notes += [
        "one seed of each network; equal widths, unequal sizes, equal epochs",
        "AdamW trains the recurrent networks, Muon the transformers, as in their recipe",
        "greedy decoding, no beam search",
    ]
    for number in range(0, min(len(pairs.tested), 400), 100):
        source, references = pairs.tested[number]
        lines = [f"{method.name}: {found[method.key]['written'][number]}" for method in chosen]
        outcome.samples.append(Sample(f"{source} ({references[0]})", "\n".join(lines)))
    claim_gains(outcome, {result.key: result for result in results}, compare, CLAIMS)


def read_pairs(path: Path, most: int, tested: int) -> Pairs:
    """Read pairs; hold out about `tested` source sentences, and all pairs that share a sentence with them.

    Raises `UserError` with the first line that is not a pair.
    """
    rows: list[tuple[str, str]] = []
    require_plain(path)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        cells = line.split("\t")
        if len(cells) < 2:  # files of manythings.org have a third column, the attribution, which is ignored
            raise UserError(f"{path}, line {number}: has {len(cells)} columns; a pair has two, with a tab between them")
        if cells[:2] != ["1", "2"]:  # a header of column numbers
            rows.append((cells[0], cells[1]))
    groups = _groups(rows)
    order = sorted(set(groups), key=lambda group: hashlib.sha256(rows[group][0].encode()).digest())
    members: dict[int, list[int]] = {}
    for at, group in enumerate(groups):
        members.setdefault(group, []).append(at)
    held: dict[str, list[str]] = {}
    while order and len(held) < tested:
        for at in members[order.pop()]:
            held.setdefault(rows[at][0], []).append(rows[at][1])
    train = [rows[at] for group in order for at in members[group]]
    if not (train and held):
        few = f"{path} has {len(rows)} pairs, and the test set would take all of them"
        raise UserError(f"--tested {tested}: {few}; give fewer")
    return Pairs(train[:most], list(held.items()))


def _groups(rows: Sequence[tuple[str, str]]) -> list[int]:
    """Return the group number of each pair; pairs that share a sentence, directly or through others, form a group."""
    parent = list(range(len(rows)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[tuple[int, str], int] = {}
    for at, pair in enumerate(rows):
        for side, text in enumerate(pair):
            other = first.setdefault((side, text.lower().strip(" .!?")), at)
            parent[max(root(at), root(other))] = min(root(at), root(other))
    return [root(at) for at in range(len(rows))]


def _measure(method: Method[Make], pairs: Pairs) -> dict[str, Any]:
    """Train a method, translate, and score each sentence and the whole corpus."""
    from sacrebleu import CHRF, corpus_bleu

    sources = [source for source, _ in pairs.tested]
    _, written, costs = clocked(lambda: method.make(pairs), lambda made: made[0](sources), lambda made: made[1])
    scorer = CHRF()
    most = max(len(references) for _, references in pairs.tested)
    # sacrebleu wants equally many references each; a repeated first reference does not change the score.
    lists = [[(refs[at] if at < len(refs) else refs[0]) for _, refs in pairs.tested] for at in range(most)]
    each = [scorer.sentence_score(text, refs).score for text, (_, refs) in zip(written, pairs.tested, strict=True)]
    return {
        "chrf": float(np.mean(each)),
        "bleu": corpus_bleu(written, lists).score,
        "each": [round(float(score), 6) for score in each],
        "written": written,
        **costs,
    }


def _word_for_word(config: LadderTranslateConfig, place_rounds: int, pairs: Pairs) -> tuple[Translate, int]:
    """Train IBM model 1, and model 2 on top of it if `place_rounds` is not zero."""
    model = WordForWord(pairs.train, config.rounds, place_rounds)
    return (lambda texts: [model.translate(text) for text in texts]), model.size()


def _network(config: LadderTranslateConfig, kind: str, pairs: Pairs) -> tuple[Translate, int]:
    """Train a network on the pairs; `kind` is recurrent, attention, transformer or decoder."""
    tokenizer = FastBPE.train([text for pair in pairs.train for text in pair], config.vocabulary_size)
    end = tokenizer.end_of_text
    assert end is not None
    sides = [[ids.tolist() for ids in tokenizer.encode_batch([pair[side] for pair in pairs.train])] for side in (0, 1)]
    rows = [(source, target) for source, target in zip(*sides, strict=True) if source]
    shape = qwen3_shaped(tokenizer.vocabulary_size, width=config.width, layers=2, context=128)
    shape = replace(shape, dropout=0.1, init_std=0.05, zero_init_outputs=False)
    # Muon for the matrices inside blocks, as in the default recipe; AdamW for recurrent networks.
    optimizer = PLAIN if kind in ("recurrent", "attention") else load_recipe("default").training.optimizer
    model: SequenceModel
    loss: Any = next_token_loss
    write: Callable[[Sequence[Sequence[int]]], list[list[int]]]
    if kind == "transformer":
        model = build_encoder_decoder(shape, config.seed)
        write = partial(write_targets, model, end=end, max_tokens=LONGEST)
    elif kind == "decoder":
        model = decoder = build_decoder(shape, config.seed)
        loss = _as_text
        stop = frozenset({end})
        write = lambda sources: greedy_batch(decoder, [[*source, end] for source in sources], LONGEST, stop)  # noqa: E731
    else:
        model = build_translator(shape, attention=kind == "attention", seed=config.seed)
        write = partial(write_recurrent, model, end=end, max_tokens=LONGEST)
    fit_pairs(model, rows, tokenizer, 64, config.epochs, config.seed, optimizer=optimizer, loss=loss)

    def answer(texts: Sequence[str]) -> list[str]:
        sources = [ids.tolist() for ids in tokenizer.encode_batch(list(texts))]
        return [tokenizer.decode(ids) for ids in write(sources)]

    return answer, 4 * model.parameter_count()


def _prompted(init: Path, pairs: Pairs) -> tuple[Translate, int]:
    """Prompt a published model few-shot: some pairs, then a sentence."""
    model = load_model(find_model(init))
    tokenizer = model.tokenizer
    shown = "".join(f"English: {source}\nGerman: {target}\n\n" for source, target in pairs.train[:SHOWN])
    line = tokenizer.encode("\n")
    stop = ends_of(model) | ({int(line[0])} if len(line) == 1 else set())

    def answer(texts: Sequence[str]) -> list[str]:
        prompts = [tokenizer.encode(f"{shown}English: {text}\nGerman:") for text in texts]
        cut = [fitted(prompt, 2 * LONGEST, model.decoder.config.context) for prompt in prompts]
        written = greedy_batch(model.decoder, cut, 2 * LONGEST, stop)
        return [tokenizer.decode(ids).partition("\n")[0].strip() for ids in written]

    return answer, 4 * model.decoder.parameter_count()


def _as_text(decoder: Decoder, batch: Batch) -> Any:
    """Return the loss of a decoder that reads source and target as one text, padded on the right."""
    return next_token_loss(decoder, Batch(batch.ids, batch.targets))
