"""Cards are read from folded Markdown; errors name the line."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from lab.outcomes import drawn_from
from scratchlm.base.errors import UserError
from scratchlm.lab.prose import build, figure_name, pages, read_results
from scratchlm.lab.quiz.cards import LEGEND, Card, built_in, chosen, notes_folder, read_cards
from scratchlm.text.duplicates import NearDuplicates

ROOT = Path(__file__).resolve().parents[2]
FOLDED = """# My notes

<details>
<summary>🎯Q. What is <b>softmax</b>?</summary>

⭐ Exponentials, divided by their sum.

<sub>chapter 3 · tags: attention, maths · shows: test tests/a.py::test_b</sub>

</details>

<details><summary>More about this</summary>not a question</details>

<details open>
<summary><b>Q. Why two
lines?</b></summary>
Because. ⚠️ Careful: <!-- from x -->3<!-- end --> times.
</details>
"""


def written(folder: Path, text: str, name: str = "notes.md") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_questions_answers_signs_and_the_last_line_are_read(tmp_path: Path) -> None:
    first, second = read_cards([written(tmp_path, FOLDED)])
    assert first.question == "What is softmax?"
    assert first.answer == "⭐ Exponentials, divided by their sum."
    assert first.signs == ("🎯", "⭐")
    assert (first.chapter, first.tags, first.shows) == ("3", ("attention", "maths"), "test tests/a.py::test_b")
    assert first.place.endswith("notes.md:3")
    assert second.question == "Why two lines?"
    assert second.answer == "Because. ⚠️ Careful: 3 times."
    assert (second.signs, second.chapter, second.tags, second.shows) == (("⚠",), None, (), None)


def test_signs_may_be_separated_and_code_and_subscripts_are_no_cards(tmp_path: Path) -> None:
    text = """<details><summary>🎯 🔥 Q. What is `__init__`?</summary>

Water is H<sub>2</sub>O, and carbon dioxide CO<sub>2</sub>

```html
<details><summary>Q. Shown, not asked</summary> no </details>
```
</details>"""
    (card,) = read_cards([written(tmp_path, text)])
    assert card.question == "What is `__init__`?"
    assert card.signs == ("🎯", "🔥")
    assert "CO<sub>2</sub>" in card.answer
    assert (card.chapter, card.shows) == (None, None)


def test_the_id_of_a_card_depends_on_its_question_alone(tmp_path: Path) -> None:
    one = read_cards([written(tmp_path, FOLDED)])[0]
    other = read_cards([written(tmp_path, FOLDED.replace("Exponentials", "Powers").replace("What is", "What  IS"))])[0]
    assert one.id == other.id
    assert one.id != read_cards([written(tmp_path, FOLDED.replace("softmax", "argmax"))])[0].id


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("<DETAILS><Summary>🎯Q. Upper?</Summary>\nyes\n</DETAILS>", "Upper?"),
        ("<details >\n<summary >Q. Spaces?</summary >\nyes <br>\n</details >", "Spaces?"),
        ("<details><summary>🎯Q. Half <b>bold?</summary>\nyes <p>more\n</details>", "Half bold?"),
        ("<details><summary>🎯Q：什么是词元？</summary>\n一段文字。\n</details>", "什么是词元？"),
        ("<details>\r\n<summary>🎯 Q: Was ist ein Token?</summary>\r\nEin Stück.\r\n</details>", "Was ist ein Token?"),
    ],
)
def test_a_readers_own_notes_may_be_ragged_and_in_any_language(tmp_path: Path, text: str, asked: str) -> None:
    (card,) = read_cards([written(tmp_path, f"Ma légende : ⭐ important\n\n{text}\n")])
    assert card.question == asked
    assert card.answer


def test_ten_megabytes_of_notes_are_read(tmp_path: Path) -> None:
    fold = "<details>\n<summary>🎯Q. Number {}?</summary>\n\n{}\n\n</details>\n"
    cards = read_cards([written(tmp_path, "".join(fold.format(number, "word " * 100) for number in range(18_000)))])
    assert len(cards) == 18_000
    assert cards[-1].place.endswith(f":{17_999 * 6 + 1}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# Nothing here\n", "holds no question; fold each as <details><summary>🎯Q."),
        ("<details><summary>🎯Q. Open?</summary> yes", ":1: <details> is not closed"),
        ("a\n\n<details>no summary</details>", ":3: <details> is not closed, or has no <summary>"),
        ("<details><summary>🦄Q. Who?</summary> me </details>", "the sign 🦄 is not in the legend; use one of ⭐ 🔥"),
        ("<details><summary>Q. Empty?</summary> </details>", "the question has no answer"),
        ("<details><summary>Q. A?</summary> b\n<sub>chapters 3</sub></details>", "did you mean 'chapter N'?"),
        (FOLDED + FOLDED, "is asked at"),
        (f"<details><summary>Chapter 2</summary>\n{FOLDED}</details>", ":1: holds another <details>"),
    ],
)
def test_errors_are_reported_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        read_cards([written(tmp_path, text)])


def test_code_blocks_stay_unchanged(tmp_path: Path) -> None:
    code = "```html\n<details><summary>Q. No card?</summary> <sub>2</sub></details>\n```"
    cards = read_cards([written(tmp_path, f"<details><summary>Q. How?</summary>\n\nSo:\n\n{code}\n\n</details>\n")])
    assert [card.question for card in cards] == ["How?"]
    assert cards[0].answer == f"So:\n\n{code}"


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    wrong = "<details><summary>🦄Q. A?</summary> b </details>\n<details><summary>Q. C?</summary></details>"
    with pytest.raises(UserError, match=r"(?s):1: the sign .*:2: the question has no answer"):
        read_cards([written(tmp_path, wrong)])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_cards([tmp_path / "none.md"])
    (tmp_path / "latin.md").write_bytes("<details><summary>Q. Ä?</summary> ö </details>".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_cards([tmp_path / "latin.md"])


def test_cards_are_chosen_by_chapter_tag_and_sign_or_its_name(tmp_path: Path) -> None:
    cards = read_cards([written(tmp_path, FOLDED)])
    assert chosen(cards, "3", None, None) == cards[:1]
    assert chosen(cards, None, "maths", None) == cards[:1]
    assert chosen(cards, None, None, "warning") == chosen(cards, None, None, "⚠️") == cards[1:]
    with pytest.raises(UserError, match="did you mean 'maths'"):
        chosen(cards, None, "math", None)
    with pytest.raises(UserError, match="chapters: 3"):
        chosen(cards, "4", None, None)
    with pytest.raises(UserError, match="--sign targt: did you mean 'target'"):
        chosen(cards, None, None, "targt")


# The cards of the notes.


def test_every_card_is_short_and_names_its_chapter_and_evidence() -> None:
    cards = built_in()
    assert sum(card.chapter == "1" for card in cards) >= 40
    assert [card.place for card in cards if len(card.answer.split()) > 120] == []
    assert [card.place for card in cards if card.chapter is None or not card.tags or not card.shows] == []
    assert [card.place for card in cards if not set(card.signs) & set(LEGEND)] == []


@pytest.mark.parametrize("card", built_in(), ids=lambda card: card.question[:40])
def test_the_evidence_of_a_card_exists_and_a_claim_holds(card: Card) -> None:
    assert card.shows is not None
    if card.shows == "the code above":  # run in test_card_kinds
        return
    kind, _, what = card.shows.partition(" ")
    if kind == "test":
        file, _, name = what.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), card.shows
    else:
        assert kind == "experiment"
        experiment, _, claim = what.partition(" ")
        results = read_results(notes_folder() / "results")
        word, _, key = claim.rpartition(" ")
        assert results[experiment].claims[key].holds is {"": True, "not": False, "open": None}[word], card.shows


def test_no_two_cards_are_near_duplicates() -> None:
    near = NearDuplicates(0.5)
    cards = built_in()
    assert [card.place for card in cards if near.seen(card.question + "\n" + card.answer)] == []
    assert [pair for pair in combinations([card.answer for card in cards], 2) if pair[0] == pair[1]] == []


def test_every_figure_in_the_notes_is_the_one_of_its_result_file() -> None:
    folder = notes_folder() / "results"
    for name, outcome in read_results(folder).items():
        for number, curves in enumerate(outcome.curves):
            drawn = (folder / figure_name(name, number)).read_text(encoding="utf-8")
            assert drawn_from(drawn) == curves, "run: python -m scratchlm.lab.prose notes"


@pytest.mark.parametrize(("template", "page"), pages(notes_folder()).items(), ids=lambda path: path.name)
def test_a_page_of_the_notes_is_what_its_template_and_the_results_make(template: Path, page: Path) -> None:
    made = build(template, page, notes_folder(), read_results(notes_folder() / "results"))
    assert page.read_text(encoding="utf-8") == made, "run: python -m scratchlm.lab.prose notes"


TAGS = re.compile(
    r"<summary>[^\n]*</summary>|<sub>[^\n]*</sub>|</?details(?: open)?>|<!-- (?:table of|its end)[^>]*-->"
)
"""HTML that a page may have: folds, footers, and the marks of tables that a benchmark writes."""
PAGES = [ROOT / "README.md", *sorted(notes_folder().glob("**/*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_code_host_shows_every_sentence_of_a_page_whole(page: Path) -> None:
    """CommonMark with GitHub's tables: no broken fold, no bare tag, no paragraph that begins mid-sentence."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.read_text(encoding="utf-8"))
    blocks = [token.content for token in tokens if token.type == "html_block"]
    assert [left for block in blocks if (left := TAGS.sub("", block).strip())] == []
    assert sum(len(re.findall("<details(?: open)?>", block)) - block.count("</details>") for block in blocks) == 0
    for before, token in pairwise(tokens):
        inside = token.children or []
        tags = {each.content for each in inside if each.type == "html_inline"}
        assert {re.sub(r'"[^"]*"', '""', tag) for tag in tags} <= {"<sub>", "</sub>", '<img src="" width="" alt="">'}
        sources = [source for tag in tags for source in re.findall(r'src="([^"]*)"', tag)]
        assert [source for source in sources if not (page.parent / source).is_file()] == []
        assert [
            each.content for each in inside if each.type == "text" and re.search(r"</?[a-z]+>|-->", each.content)
        ] == []
        if before.type == "paragraph_open" and token.level == 1 and not token.content.startswith("scratchlm"):
            assert not re.match(r"[a-z,.;:)]", token.content), token.content
