"""`experiment ladder-translate`: short English sentences into German, by rules, statistics and networks.

Pairs that share a sentence, in either language, are on the same side of the split, so no test sentence occurs in
training. All translations of a test sentence are references. Intervals are over groups of test sentences that share
translations, and over seeds. The networks share a tokenizer, the pairs, the number of weights and, all but one, the
number of epochs; a grid on training pairs chooses the optimizer of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.reading import require_plain
from scratchlm.classic.phrase_based import BEGIN_WEIGHTS, PhraseBased
from scratchlm.classic.phrasebook import translate
from scratchlm.classic.wordforword import WordForWord
from scratchlm.evaluation.prompting import ends_of, fitted
from scratchlm.generation.batch import greedy_batch
from scratchlm.lab.experiments.config import LadderTranslateConfig
from scratchlm.lab.experiments.ladder_translate.report import Pairs, report, report_optimizers
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import (
    Method,
    clocked,
)
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.translation_scores import scored
from scratchlm.lab.shared.translators import LONGEST, best_of, ids_of, optimizers, train, tune, writer
from scratchlm.model.encoderdecoder import EncoderDecoder
from scratchlm.weights.checkpoint import find_model, load_model

SHOWN = 8
"""Example pairs in the few-shot prompt of a published model."""
Translate = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Made:
    """A trained method."""

    translate: Translate
    size: int = 0
    """In bytes."""
    variants: Mapping[str, Translate] = field(default_factory=dict)
    """The same method with another search or other weights, by the last part of their names."""


Make = Callable[[Pairs], Made]
"""Function that trains a method on pairs."""


def methods(config: LadderTranslateConfig, steps: Steps, hash_prefix: str = "") -> list[Method[Make]]:
    """Return the methods, the oldest first; networks train with the optimizers that a shared step finds."""

    def fixed(translate: Callable[[str], str]) -> Make:
        return lambda pairs: Made(lambda texts: [translate(text) for text in texts])

    def network(key: str, name: str, kind: str, epochs: float = config.epochs) -> Method[Make]:
        return Method(key, name, partial(_network, config, steps, kind, epochs), seeded=True)

    longer = config.epochs * config.longer
    every: list[Method[Make]] = [
        Method("copy", "source copied unchanged", fixed(str)),
        Method("rules", "rules: lexicon, agreement, order", fixed(translate)),
        Method("memory", "translation of the nearest training sentence", _memory),
        Method("ibm1", "word for word, IBM model 1", partial(_word_for_word, config, 0)),
        Method("ibm2", "word for word, IBM model 2", partial(_word_for_word, config, config.rounds)),
        Method("phrases", "phrase-based, tuned", partial(_phrase_based, config)),
        network("recurrent", "recurrent, no attention", "recurrent"),
        network("attention", "recurrent with attention", "attention"),
        network("transformer", "encoder-decoder transformer", "transformer"),
        network("decoder", "decoder only, pairs as text", "decoder"),
        network("longer", f"encoder-decoder transformer, {longer:g} epochs", "transformer", longer),
    ]
    if config.init is not None:
        every.append(Method("prompted", "published model, few-shot", partial(_prompted, config.init), hash_prefix))
    return every


def run(config: LadderTranslateConfig, steps: Steps, out: Findings) -> None:
    """Run and compare all methods."""
    pairs = read_pairs(config.files()["pairs"], config.pairs, config.tested)
    chosen = methods(config, steps, out.init_hash)
    tried = _tried(config, steps, pairs)
    results = {method.key: method.steps(steps).once(method.step, _measure, method, pairs) for method in chosen}
    report(out, chosen, results, pairs)
    report_optimizers(out, tried)
    out.values["rules.train.chrf"] = Value(steps.shared.once("rules of training sentences", _seen_rules, pairs))
    out.notes += [
        f"networks: equal weights, {config.epochs:g} epochs if no other number is named, optimizers tuned on held-out "
        "training pairs; greedy decoding where no beam is named",
        f"phrase-based: beam {config.beam}; its weights are tuned for chrF on {config.tuned} of the training pairs",
    ]
    for number in range(0, min(len(pairs.tested), 400), 100):
        source, references = pairs.tested[number]
        written = {method.name: results[method.key]["written"][number] for method in chosen}
        out.samples.append(TextSample.asked(source, written, references[0]))


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
    columns: dict[str, list[str]] = {}
    clusters: dict[str, int] = {}
    while order and len(columns) < tested:
        group = order.pop()
        for at in members[group]:
            columns.setdefault(rows[at][0], []).append(rows[at][1])
            clusters[rows[at][0]] = group
    train = [rows[at] for group in order for at in members[group]]
    if not (train and columns):
        few = f"{path} has {len(rows)} pairs, and the test set would take all of them"
        raise UserError(f"--tested {tested}: {few}; give fewer")
    return Pairs(train[:most], list(columns.items()), list(clusters.values()))


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
    sources, references = [source for source, _ in pairs.tested], [references for _, references in pairs.tested]
    made, written, costs = clocked(
        lambda: method.make(pairs), lambda made: made.translate(sources), lambda made: made.size
    )
    variants = {name: scored(other(sources), references) for name, other in made.variants.items()}
    return {**scored(written, references), "written": written, "variants": variants, **costs}


def _seen_rules(pairs: Pairs) -> float:
    """Return the chrF of the rules on as many training sentences as are tested, with all references of each."""
    known: dict[str, list[str]] = {}
    for source, target in pairs.train:
        known.setdefault(source, []).append(target)
    chosen = dict(islice(known.items(), len(pairs.tested)))
    return float(scored([translate(source) for source in chosen], list(chosen.values()))["chrf"])


def _memory(pairs: Pairs) -> Made:
    """Translate by the translation of the training sentence with the most similar character n-grams (TF-IDF)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    known = features.fit_transform([source for source, _ in pairs.train])

    def answer(texts: Sequence[str]) -> list[str]:
        nearest = (features.transform(texts) @ known.T).tocsr()
        return [pairs.train[int(row.indices[row.data.argmax()]) if row.nnz else 0][1] for row in nearest]

    return Made(answer, sum(len(text.encode()) for pair in pairs.train for text in pair))


def _word_for_word(config: LadderTranslateConfig, place_rounds: int, pairs: Pairs) -> Made:
    """Train IBM model 1, and model 2 on top of it if `place_rounds` is not zero."""
    model = WordForWord(pairs.train, config.rounds, place_rounds)
    return Made(lambda texts: [model.translate(text) for text in texts], model.size())


def _phrase_based(config: LadderTranslateConfig, pairs: Pairs) -> Made:
    """Learn a phrase-based translator, tuned for chrF."""
    from sacrebleu import CHRF

    scorer = CHRF()

    def score(text: str, right: str) -> float:
        return scorer.sentence_score(text, [right]).score

    model = PhraseBased.tuned(pairs.train, config.tuned, score, config.rounds, config.beam)
    tuned = model.weights

    def answer(weights: tuple[float, ...], beam: int, texts: Sequence[str]) -> list[str]:
        model.weights, model.beam = weights, beam
        return [model.translate(text) for text in texts]

    variants = {"beam1": partial(answer, tuned, 1), "untuned": partial(answer, BEGIN_WEIGHTS, config.beam)}
    return Made(partial(answer, tuned, config.beam), model.size(), variants)


def _tried(config: LadderTranslateConfig, steps: Steps, pairs: Pairs) -> dict[str, dict[str, float]]:
    """Return the loss of each network with each optimizer of the grid, measured once for all seeds."""
    arguments = (pairs.train, config.vocabulary_size, config.width, config.trial_pairs, config.seed)
    scores: dict[str, dict[str, float]] = steps.shared.once("optimizers", tune, *arguments)
    return scores


def _network(config: LadderTranslateConfig, steps: Steps, kind: str, epochs: float, pairs: Pairs) -> Made:
    """Train a network on the pairs with the best optimizer of the grid."""
    optimizer = optimizers()[best_of(_tried(config, steps, pairs), kind)]
    learned = ids_of(pairs.train, config.vocabulary_size)
    model = train(kind, learned, config.width, optimizer, epochs, config.seed)

    def answer(beam: int, texts: Sequence[str]) -> list[str]:
        sources = [ids.tolist() for ids in learned.tokenizer.encode_batch(list(texts))]
        return [learned.tokenizer.decode(ids) for ids in writer(model, learned, beam)(sources)]

    variants = {"beam": partial(answer, config.beam)} if isinstance(model, EncoderDecoder) else {}
    return Made(partial(answer, 1), 4 * model.parameter_count(), variants)


def _prompted(init: Path, pairs: Pairs) -> Made:
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

    return Made(answer, 4 * model.decoder.parameter_count())
