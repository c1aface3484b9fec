"""Numbers go from result files into the notes, and stay there until the result changes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from outcomes import drawn_from
from scratchlm.base.errors import UserError
from scratchlm.lab.harness.labels import LABELS, relabelled
from scratchlm.lab.harness.outcome import Curves, Outcome, Sample, Table, Value, write_outcome
from scratchlm.lab.harness.prose import draw, filled, read_results, stored_as
from scratchlm.lab.quiz.cards import notes_folder


def plain(text: str) -> str:
    """A text without its comments."""
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def results(value: float = 0.5) -> dict[str, Outcome]:
    made = Outcome("toy", "What?")
    made.values = {"a.f1": Value(value, value - 0.1, value + 0.1), "count": Value(1234)}
    made.timings = {"a.seconds": 2.5}
    made.tables = [Table("T", ["x", "y|z"], [["1", "2"]])]
    lines = {"one <a>": ([1.0, 10.0, 100.0], [3.0, 2.0, 1.0]), "two": ([1.0, 100.0], [1.5, 1.5])}
    made.curves = [Curves("Loss & more", "tokens", "nats", lines, logarithmic=True)]
    made.samples = [Sample("before", "so *much* <!-- for\nthis")]
    return {"toy": made}


def test_what_is_typed_becomes_a_number_between_marks() -> None:
    text = filled(
        "F1 is {{toy a.f1 .2f}}, {{toy a.f1 .2f+}}; {{toy count ,.0f}} in {{toy a.seconds .1f}} s.", results()
    )
    assert plain(text) == "F1 is 0.50, 0.50 (0.40 to 0.60); 1,234 in 2.5 s."


def test_filling_again_changes_nothing_but_what_a_new_result_changes() -> None:
    once = filled("F1 is {{toy a.f1 .2f}}.", results())
    assert filled(once, results()) == once
    assert plain(filled(once, results(0.7))) == "F1 is 0.70."


def test_a_table_stands_as_markdown() -> None:
    text = plain(filled("{{toy table 0}}", results()))
    assert text.strip() == "| x | y\\|z |\n| --- | --- |\n| 1 | 2 |"
    assert filled(filled("{{toy table 0}}", results()), results()) == filled("{{toy table 0}}", results())


def test_a_sample_stands_as_a_quotation_whose_letters_are_no_marks() -> None:
    once = filled("{{toy sample 0}}", results())
    assert plain(once).strip() == "> **before**\n>\n> so \\*much\\* &lt;!-- for\n>\n> this"
    assert filled(once, results()) == once


def test_a_second_result_of_an_experiment_goes_by_its_file(tmp_path: Path) -> None:
    for name in ("toy", "toy-published"):
        write_outcome(tmp_path / f"{name}.json", results()["toy"])
    assert plain(filled("{{toy-published a.f1 .1f}}", read_results(tmp_path))) == "0.5"
    write_outcome(tmp_path / "toys.json", results()["toy"])
    with pytest.raises(UserError, match=r"toys.json: is a result of toy; name it toy.json or toy-WORD.json"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("{{tog a.f1}}", "no result of 'tog'; did you mean 'toy'?"),
        ("{{toy a.f2}}", "toy has no value 'a.f2'; did you mean 'a.f1'?"),
        ("{{toy figure 1}}", "toy has 1 figures, numbered from 0"),
        ("{{toy table 1}}", "toy has 1 tables, numbered from 0"),
    ],
)
def test_what_is_not_there_is_told(typed: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        filled(typed, results(), "card.md")


def test_a_figure_is_drawn_beside_the_result_and_stands_in_the_text(tmp_path: Path) -> None:
    made = results()
    draw(tmp_path, made)
    assert (
        plain(filled("{{toy figure 0}}", made, figures="../results")).strip()
        == "![Loss & more](../results/figures/toy-0.svg)"
    )
    drawn = (tmp_path / "figures" / "toy-0.svg").read_text(encoding="utf-8")
    page = ElementTree.fromstring(drawn)
    name = "{http://www.w3.org/2000/svg}"
    paths = page.findall(f".//{name}path[@clip-path]")
    one, two = (
        np.array(re.findall(r"([\d.]+) ([\d.]+)", path.attrib["d"]), float)
        for path in paths
        if re.search("1b6ca8|c8553d", path.attrib["style"])
    )
    x, y = one.T
    assert x[1] == pytest.approx((x[0] + x[2]) / 2)  # a factor of ten is as far as the next
    assert y[0] < y[1] < y[2]  # from 3 down to 1
    assert two[0, 1] == two[1, 1]
    words = [each.text for each in page.iter(f"{name}text")]
    assert {"Loss & more", "tokens", "nats", "one <a>", "two", "10", "2.00"} <= set(words)
    assert drawn_from(drawn) == made["toy"].curves[0]
    draw(tmp_path, made)
    assert (tmp_path / "figures" / "toy-0.svg").read_text(encoding="utf-8") == drawn


def test_a_result_stored_under_an_earlier_name_is_read_as_its_experiment_of_today(tmp_path: Path) -> None:
    for name in ("knobs", "knobs-published"):
        write_outcome(tmp_path / f"{name}.json", Outcome("knobs", "What?", values={"a": Value(0.5)}))
    found = read_results(tmp_path)
    assert {name: outcome.name for name, outcome in found.items()} == dict.fromkeys(found, "ablations")
    assert stored_as("ablations-published", found) == "knobs-published"
    for name in ("knobs", "ablations", "ablations-published"):
        assert plain(filled(f"{{{{{name} a .1f}}}}", found)) == "0.5"
    write_outcome(tmp_path / "ablations.json", Outcome("ablations", "What?", values={"a": Value(0.7)}))
    assert plain(filled("{{ablations a .1f}}", read_results(tmp_path))) == "0.7"


def test_earlier_labels_of_tables_are_shown_with_todays_terms_and_all_other_cells_as_they_are() -> None:
    table = Table(
        "T", ["", "seen from"], [["the commoner class", "0.030"], ["not the commoner class", "seen from afar"]]
    )
    shown = relabelled(table)
    assert shown.header == ["", "minimum detectable difference"]
    assert shown.rows == [["majority baseline", "0.030"], ["not the commoner class", "seen from afar"]]
    tables = [table for outcome in read_results(notes_folder() / "results").values() for table in outcome.tables]
    samples = [each.text for outcome in read_results(notes_folder() / "results").values() for each in outcome.samples]
    cells = {cell for table in tables for row in (table.header, *table.rows) for cell in row}
    stored = cells | {line.partition(": ")[0] for text in samples for line in text.splitlines()}
    assert set(LABELS) - stored == set()
    assert set(LABELS) & set(LABELS.values()) == set()
