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

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.reading import require_plain
from scratchlm.classic.phrase_based import BEGIN_WEIGHTS, PhraseBased
from scratchlm.classic.phrasebook import translate
from scratchlm.classic.wordforword import WordForWord
from scratchlm.evaluation.prompting import ends_of, fitted
from scratchlm.generation.batch import greedy_batch
from scratchlm.lab.experiments.config import LadderTranslateConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row, above, every, negated
from scratchlm.lab.harness.methods import (
    Column,
    Compare,
    Method,
    MethodResult,
    add_comparison,
    add_groups,
    claim_gains,
    clocked,
    paired_by,
)
from scratchlm.lab.harness.outcome import Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.translation_scores import bleu, bleu_gain, scored
from scratchlm.lab.shared.translators import LONGEST, best_of, ids_of, optimizers, rate_at_edge, train, tune, writer
from scratchlm.model.encoderdecoder import EncoderDecoder
from scratchlm.weights.checkpoint import find_model, load_model

SHOWN = 8
"""Example pairs in the few-shot prompt of a published model."""
COLUMNS = (
    Column("chrf", "chrF, mean of sentences", ".1f", interval=True),
    Column("bleu", "BLEU", ".1f", interval=True),
)
LENGTHS = {"short": (1, 3, "to 3 words"), "middle": (4, 5, "4 and 5 words"), "long": (6, 99, "6 words and more")}
"""Groups of source lengths in words, for separate scores."""
VARIANTS = {
    "phrases.beam1": "phrase-based, tuned, no beam",
    "phrases.untuned": "phrase-based, weights not tuned",
    "transformer.beam": "encoder-decoder transformer, beam",
    "longer.beam": "transformer with more epochs, beam",
}
"""Methods that search otherwise, or with other weights, after the same training."""
CLAIMS = (
    ("rules-beat-copying", "rules", "copy", "Rules beat copying the source",
     "A lexicon written from the test sentences would do so too; the score on training sentences is given"),
    ("phrases-beat-words", "phrases.untuned", "ibm1",
     "Phrase-based translation beats word-for-word translation, even if its weights are not tuned",
     "Weights tuned for chrF would do it; these are not tuned. Phrases have a language model too, words have none"),
    ("words-beat-no-attention", "ibm1", "recurrent",
     "In chrF, word-for-word translation beats a recurrent network without attention",
     "chrF rewards parts of words in any order; BLEU is compared apart. After more epochs it may be otherwise"),
    ("attention-helps", "attention", "recurrent", "Attention helps a recurrent translator",
     "More weights, more epochs or a better learning rate would help too; weights and epochs are equal, rates tuned"),
    ("transformer-beats-recurrent", "transformer", "attention",
     "A transformer beats a recurrent network with attention, each with its best optimizer",
     "The rival could have the worse optimizer; one grid on training pairs set aside chooses it for both. Epochs are "
     "equal; bench/LOG.md has both after fewer, where no lead could be shown"),
    ("taught-beats-prompted", "decoder", "prompted",
     "A small decoder trained on pairs beats a published model prompted few-shot",
     "A model that has read little German would lose as well, so this is about the published model, not about size"),
)  # fmt: skip
"""Claims that the first of two methods scores higher than the second in chrF, with the control of each."""
Translate = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Made:
    """A trained method."""

    translate: Translate
    size: int = 0
    """In bytes."""
    variants: Mapping[str, Translate] = field(default_factory=dict)
    """The same method with another search or other weights, by the last part of their names."""


Make = Callable[["Pairs"], Made]
"""Function that trains a method on pairs."""


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations."""

    train: list[tuple[str, str]]
    tested: list[tuple[str, list[str]]]
    clusters: list[int]
    """The group of each tested sentence; those of one group share translations."""


def methods(config: LadderTranslateConfig, steps: Steps, hash_prefix: str = "") -> list[Method[Make]]:
    """Return the methods, the oldest first; networks train with the optimizers that a shared step finds."""

    def fixed(translate: Callable[[str], str]) -> Make:
        return lambda pairs: Made(lambda texts: [translate(text) for text in texts])

    def network(key: str, name: str, kind: str, epochs: float = config.epochs) -> Method[Make]:
        return Method(key, name, partial(_network, config, steps, kind, epochs), seeded=True)

    longer = config.epochs * config.longer
    found: list[Method[Make]] = [
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
        found.append(Method("prompted", "published model, few-shot", partial(_prompted, config.init), hash_prefix))
    return found


def run(config: LadderTranslateConfig, steps: Steps, out: Findings) -> None:
    """Run and compare all methods."""
    pairs = read_pairs(config.files()["pairs"], config.pairs, config.tested)
    chosen = methods(config, steps, out.init_hash)
    tried = _tried(config, steps, pairs)
    found = {method.key: method.steps(steps).once(method.step, _measure, method, pairs) for method in chosen}
    report(out, chosen, found, pairs)
    report_optimizers(out, tried)
    out.values["rules.train.chrf"] = Value(steps.shared.once("rules of training sentences", _seen_rules, pairs))
    out.notes += [
        f"networks: equal weights, {config.epochs:g} epochs if no other number is named, optimizers tuned on held-out "
        "training pairs; greedy decoding where no beam is named",
        f"phrase-based: beam {config.beam}; its weights are tuned for chrF on {config.tuned} of the training pairs",
    ]
    for number in range(0, min(len(pairs.tested), 400), 100):
        source, references = pairs.tested[number]
        lines = [f"{method.name}: {found[method.key]['written'][number]}" for method in chosen]
        out.samples.append(Sample(f"{source} ({references[0]})", "\n".join(lines)))


def report(out: Findings, chosen: Sequence[Method[Make]], found: Mapping[str, Mapping[str, Any]], pairs: Pairs) -> None:
    """Report the scores of all methods and variants, and add the claims."""
    scores = dict(found)
    for key, measured in found.items():
        scores |= {f"{key}.{name}": each for name, each in measured["variants"].items()}
    each = {key: np.array(measured["each"]) for key, measured in scores.items()}
    counts = {key: np.array(measured["counts"]) for key, measured in scores.items()}

    def values(key: str) -> dict[str, Value]:
        return {"chrf": mean_of(each[key], pairs.clusters), "bleu": bleu(counts[key], pairs.clusters)}

    results = [method.result(values(method.key), found[method.key]) for method in chosen]
    compare = paired_by(each, pairs.clusters)
    title = f"{len(pairs.train):,} training pairs, {len(pairs.tested):,} test sentences"
    add_comparison(out, title, results, COLUMNS, compare, "+.1f")
    report_variants(out, {key: values(key) for key in VARIANTS})
    sizes = np.array([len(source.split()) for source, _ in pairs.tested])
    groups = {name: (shown, (sizes >= low) & (sizes <= high)) for name, (low, high, shown) in LENGTHS.items()}

    def mean(key: str, inside: np.ndarray) -> Value:
        return mean_of(each[key][inside], np.array(pairs.clusters)[inside].tolist())

    add_groups(out, "chrF by the length of the source", "chrf", results, groups, mean, ".1f")
    out.values["pairs"] = Value(len(pairs.train))
    by = {result.key: result for result in results}
    by |= {key: MethodResult(key, name, {}, 0.0, 0.0, 0.0) for key, name in VARIANTS.items()}
    out.gain("recurrent.over.ibm1.bleu", bleu_gain(counts["ibm1"], counts["recurrent"], pairs.clusters))
    out.gain("phrases.over.longer.beam.bleu", bleu_gain(counts["longer.beam"], counts["phrases"], pairs.clusters))
    claim(out, by, compare)


def report_optimizers(out: Findings, tried: Mapping[str, Mapping[str, float]]) -> None:
    """Report the loss on held-out training pairs with each optimizer of the grid."""
    out.values |= {f"grid.{kind}.{name}": Value(loss) for kind, of in tried.items() for name, loss in of.items()}
    names = list(dict.fromkeys(name for of in tried.values() for name in of))
    rows: list[Row] = [[name, *(Cell(f"grid.{kind}.{name}", ".3f") for kind in tried)] for name in names]
    title = "Optimizer and learning rate, nats per token on held-out training pairs"
    out.table(title, ["", *tried], rows)
    out.notes.append("rates were chosen in trials of one epoch; longer training may prefer lower ones")
    edges = [kind for kind in tried if rate_at_edge(best_of(tried, kind))]
    if edges:
        out.notes.append(f"the best rate is the lowest or highest that was tried: {', '.join(edges)}")


def report_variants(out: Findings, measured: Mapping[str, Mapping[str, Value]]) -> None:
    """Report what search and tuning add; the methods themselves are reported before."""
    out.values |= {f"{key}.{name}": value for key, scores in measured.items() for name, value in scores.items()}
    names = {
        "phrases": "phrase-based, tuned, beam",
        "transformer": "encoder-decoder transformer, greedy",
        "longer": "transformer with more epochs, greedy",
    } | VARIANTS
    rows: list[Row] = [
        [name, Cell(f"{key}.chrf", ".1f"), Cell(f"{key}.bleu", ".1f")]
        for method in ("phrases", "transformer", "longer")
        for key, name in names.items()
        if key.split(".")[0] == method
    ]
    out.table("The same methods with and without a beam, and without tuning", ["", "chrF", "BLEU"], rows)


def claim(out: Findings, by: Mapping[str, MethodResult], compare: Compare) -> None:
    """Add the claims; each rival of the phrases is compared with a beam on both sides, and with none on either."""

    def gain(above: str, below: str) -> Any:
        return out.gain(f"{above}.over.{below}", compare(by[below], by[above]))

    claim_gains(out, by, compare, CLAIMS)
    control = "More matching word parts would raise chrF alone; BLEU counts whole words and their order"
    says = "In BLEU, that recurrent network beats word-for-word translation"
    out.claim("no-attention-beats-words-in-bleu", says, above("recurrent.over.ibm1.bleu"), control)
    for rival, name in (("transformer", "a transformer"), ("longer", "a transformer trained for more epochs")):
        control = (
            "Near copies in training would do so too; the translation of the nearest training sentence is compared"
        )
        says = (
            f"{name.capitalize()} beats word-for-word translation, and the translation of the nearest training sentence"
        )
        out.claim(f"{rival}-beats-words", says, every(gain(rival, "ibm1"), gain(rival, "memory")), control)
        both = [gain("phrases", f"{rival}.beam"), gain("phrases.beam1", rival)]
        control = "A beam on one side alone could explain it; both sides search with equal beams, and both without"
        says = f"Phrase-based translation beats {name}, with a beam and without, and with weights that are not tuned"
        tuned = "Weights tuned for chrF could explain it too; without tuning they are compared as well"
        untuned = gain("phrases.untuned", f"{rival}.beam")
        out.claim(f"phrases-beat-{rival}", says, every(*both, untuned), f"{control}. {tuned}")
        says = f"{name.capitalize()} beats phrase-based translation, with a beam and without"
        out.claim(f"{rival}-beats-phrases", says, every(*map(negated, both)), control)


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
    clusters: dict[str, int] = {}
    while order and len(held) < tested:
        group = order.pop()
        for at in members[group]:
            held.setdefault(rows[at][0], []).append(rows[at][1])
            clusters[rows[at][0]] = group
    train = [rows[at] for group in order for at in members[group]]
    if not (train and held):
        few = f"{path} has {len(rows)} pairs, and the test set would take all of them"
        raise UserError(f"--tested {tested}: {few}; give fewer")
    return Pairs(train[:most], list(held.items()), list(clusters.values()))


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
    given = (pairs.train, config.vocabulary_size, config.width, config.trial_pairs, config.seed)
    found: dict[str, dict[str, float]] = steps.shared.once("optimizers", tune, *given)
    return found


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
