"""The glossary names real modules, and the words that the project gave up stay away.

What the last test can and cannot show: no dictionary of English is at hand on every machine, so a word of a public name
counts as ordinary where it occurs in a docstring of the package, in the glossary, or in the list `MORE_WORDS` below.
That catches abbreviations and invented words that no sentence uses. It does not show that a name is a good one.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "scratchlm"
GLOSSARY = ROOT / "docs" / "glossary.md"

CLEANED = tuple(sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))))
"""Folders of the package, whose tests are beside them."""

WORD_LISTS = {
    "classic/phrasebook.py",
    "storyworld/facts.py",
}
"""Modules whose strings are words and sentences of a language, not prose about the program."""

GIVEN_UP = re.compile(
    r"\b(?:foretells?|foretold|foretelling|mend|mends|mended|mending|bears? out|bore out|borne out|"
    r"(?:told|tells?|telling) (?:\w+ ){0,2}apart|rungs?|sought|commoner class(?:es)?|pays|the model of before|"
    r"by little|what is had without)\b",
    re.IGNORECASE,
)

STORED = (
    "gradient-foretells",
    "law-foretells",
    "size-pays-with-text",
    'outcome.values["sought"]',
    ".foretold",
    "the commoner class",
)
"""Ids and labels in sealed results of experiments, which keep their names."""

MORE_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    adapt adapted aloud assemble available blocked briefly bucketed chunker conclude crossover deadline
    described detector detectors dialect dict discard doctor engine equip explain finetune finish flatten
    followers gerund guarded hacked hooked initialise inspect instruct joint keeper locked lr minimise negated
    ngram ngrams noisy normed occupied openings origins os outline penalise perturbed placed pool predictor
    prefer preview quantizable rankings recover reinforce require resolve rollout rollouts rotate runtime seekable
    sensible series staged stateless stats storyteller strangers strip sync synthesize team tfidf todays tokenize trace
    traces tracing trainable transfer unescape unfit unpack unproved unspell users warmup watcher widen
    app brief converse create echo embed exceeded explained helpful logprob logprobs matcher mlflow paced remote
    portable response ring runner shortened sided ticket tracked wanting watched
    """,
    )
)
"""Ordinary words of public names that no docstring of the package and no entry of the glossary uses."""
METHODS = frozenset(["glu", "ipo", "kto", "lo", "orpo", "po", "ra", "sim", "simpo", "swi"])
"""Parts of the names of methods: LoRA, SwiGLU, IPO and their like."""


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notes").glob("**/*.md")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files() -> list[Path]:
    found = (path for top in (PACKAGE, ROOT / "tests") for each in CLEANED for path in (top / each).rglob("*.py"))
    return sorted([*found, *(ROOT / "bench").rglob("*.py")])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def entries() -> list[tuple[str, str, list[str]]]:
    """The entries of the glossary: term, sentence, paths of modules."""
    found = []
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            match = re.fullmatch(r"- \*\*(.+?)\*\*: (.+?\.) ((?:`[\w/]+\.py`(?:, )?)+)", line)
            assert match is not None, f"not of the form **term**: sentence. `module.py`: {line}"
            found.append((match[1], match[2], re.findall(r"`([\w/]+\.py)`", match[3])))
    return found


def words_of(identifier: str) -> list[str]:
    """Split snake case and camel case: `KVCache` is kv and cache."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield docstrings, those of fields among them: all strings that are statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def prose(source: str, strings: bool) -> Iterator[str]:
    """Yield names, as words, then comments and docstrings, and with `strings` all other strings."""
    tree = ast.parse(source)
    yield from (" ".join(words_of(each)) for each in identifiers(tree))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    yield " ".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)
    yield from docstrings(tree)
    if strings:
        constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        yield from (value for value in constants if isinstance(value, str))


def given_up(source: str, strings: bool = True) -> set[str]:
    for each in STORED:
        source = source.replace(each, "stored")
    return {found[0] for text in prose(source, strings) for found in GIVEN_UP.finditer(" ".join(text.split()))}


def test_the_glossary_has_one_sentence_for_each_term_in_alphabetical_order() -> None:
    terms = [term for term, _, _ in entries()]
    assert len(terms) >= 120
    assert len(set(terms)) == len(terms)
    keys = [re.sub(r"[^a-z0-9]", "", term.lower()) for term in terms]
    assert keys == sorted(keys), [pair for pair in zip(keys, sorted(keys), strict=True) if pair[0] != pair[1]][:2]
    assert [term for term, sentence, _ in entries() if ". " in sentence] == []


def test_every_module_that_the_glossary_names_exists() -> None:
    paths = re.findall(r"`([\w/]+\.py)`", GLOSSARY.read_text(encoding="utf-8"))
    assert [path for path in paths if not (PACKAGE / path).is_file()] == []


@pytest.mark.parametrize("path", files(), ids=name)
def test_words_that_were_given_up_do_not_come_back(path: Path) -> None:
    lists = path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).as_posix() in WORD_LISTS
    assert given_up(path.read_text(encoding="utf-8"), strings=not lists) == set()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_words_that_were_given_up_are_on_no_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for each in STORED:
        text = text.replace(each, "stored")
    assert {found[0] for found in GIVEN_UP.finditer(" ".join(text.split()))} == set()


def test_the_search_finds_names_docstrings_comments_and_messages() -> None:
    assert given_up("def best_threshold(chance, sought): pass\n") == {"sought"}
    assert given_up('"""What a model\npays for a text."""\n') == {"pays"}
    assert given_up("x = 1  # the two were told\n# apart\n") == {"told apart"}
    assert given_up('raise ValueError(f"{x}: not JSON; mend it")\n') == {"mend"}
    assert given_up('"""Better by a little, payable, amended, wrung."""\n') == set()
    assert given_up('VERBS = "mend sew knit"\n', strings=False) == set()


def test_public_names_are_made_of_ordinary_words() -> None:
    known = {*MORE_WORDS, *METHODS}
    texts = [text for path in sorted(PACKAGE.rglob("*.py")) for text in docstrings(parsed(path))]
    for text in [*texts, GLOSSARY.read_text(encoding="utf-8")]:
        known |= {word.lower() for word in re.findall(r"[A-Za-z]+", re.sub(r"`[^`]*`", " ", text))}
    strange = {
        f"{name(path)}: {node.name} ({word})"
        for path in files()
        if path.is_relative_to(PACKAGE)
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        for word in words_of(node.name)
        if word not in known
    }
    assert sorted(strange) == []
