"""Numbers go from result files into the notes, and stay there until the result changes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lab.outcomes import drawn_from
from scratchlm.base.errors import UserError
from scratchlm.lab.harness.findings import with_verdicts
from scratchlm.lab.harness.outcome import Claim, Curves, Dot, Dots, Outcome, Table, TextSample, Value, write_outcome
from scratchlm.lab.prose import build, built, draw, pages, read_results, require_current
from scratchlm.lab.quiz.cards import notes_folder


def results(value: float = 0.5) -> dict[str, Outcome]:
    made = Outcome("toy", "What?")
    made.values = {"a.f1": Value(value, value - 0.1, value + 0.1), "count": Value(1234)}
    made.timings = {"a.seconds": 2.5}
    made.tables = [Table("T", ["x", "y|z"], [["1", "2"]])]
    lines = {"one <a>": ([1.0, 10.0, 100.0], [3.0, 2.0, 1.0]), "two": ([1.0, 100.0], [1.5, 1.5])}
    made.curves = [Curves("Loss & more", "tokens", "nats", lines, logarithmic=True)]
    made.samples = [TextSample("before", "so *much* <!-- for\nthis")]
    return {"toy": made}


def test_a_call_in_a_template_becomes_a_number() -> None:
    calls = 'r("toy", "a.f1", ".2f")', 'r("toy", "a.f1", ".2f+")', 'r("toy", "count", ",.0f")', 'r("toy", "a.seconds")'
    one, two, three, four = (f"{{{{ {call} }}}}" for call in calls)
    text = built(f"F1 is {one}, {two}; {three} in {four} s.\n", results())
    assert text == "F1 is 0.50, 0.50 (0.40 to 0.60); 1,234 in 2.5 s.\n"
    assert built("F1 is {{ r('toy', 'a.f1', '.2f') }}.", results(0.7)) == "F1 is 0.70."


def test_a_template_calculates_with_values() -> None:
    assert built('{{ "%.1f"|format(v("toy", "count") - 4 * v("toy", "a.f1")) }}', results()) == "1232.0"


def test_a_table_stands_as_markdown() -> None:
    assert built('{{ table("toy") }}', results()) == "| x | y\\|z |\n| --- | --- |\n| 1 | 2 |"


def test_a_sample_stands_as_a_quotation_whose_letters_are_no_marks() -> None:
    assert built('{{ sample("toy", 0) }}', results()) == "> **before**\n>\n> so \\*much\\* &lt;!-- for\n>\n> this"


def test_a_second_result_of_an_experiment_goes_by_its_file(tmp_path: Path) -> None:
    for name in ("toy", "toy-published"):
        write_outcome(tmp_path / f"{name}.json", results()["toy"])
    assert built('{{ r("toy-published", "a.f1", ".1f") }}', read_results(tmp_path)) == "0.5"
    write_outcome(tmp_path / "toys.json", results()["toy"])
    with pytest.raises(UserError, match=r"toys.json: is a result of toy; name it toy.json or toy-WORD.json"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ('r("tog", "a.f1")', "no result of 'tog'; did you mean 'toy'?"),
        ('r("toy", "a.f2")', "toy has no value 'a.f2'; did you mean 'a.f1'?"),
        ('v("toy", "a.f2")', "toy has no value 'a.f2'; did you mean 'a.f1'?"),
        ('figure("toy", 1)', "toy has 1 figures, numbered from 0"),
        ('table("toy", 1)', "toy has 1 tables, numbered from 0"),
        ('sample("toy", 7)', "toy has 1 samples, numbered from 0"),
        ('value("toy")', "'value' is undefined"),
        ('r("toy", "a.f1"', "card.md, line 2: unexpected '}'"),
        ('r("toy", "a.f1", ".2q")', "card.md: toy a.f1: '.2q' is no format of a number"),
    ],
)
def test_what_is_not_there_is_told(typed: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        built(f"\n{{{{ {typed} }}}}", results(), "card.md")


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        built('{{ r("tog", "a") }} {{ r("toy", "b") }} {{ r("toy", "b") }}', results(), "card.md")
    told = re.split(r"\n|; (?=card)", str(caught.value))
    assert sum("no result of 'tog'" in line for line in told) == sum("no value 'b'" in line for line in told) == 1


def test_every_template_has_its_page_and_the_readme_stands_beside_the_notes(tmp_path: Path) -> None:
    for name in ("project/README.md", "a.md", "cards/b.md"):
        file = tmp_path / "notes" / "templates" / f"{name}.jinja"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{{ figure("toy") }}', encoding="utf-8")
    made = pages(tmp_path / "notes")
    assert [page.relative_to(tmp_path).as_posix() for page in made.values()] == [
        "notes/a.md", "notes/cards/b.md", "README.md",
    ]  # fmt: skip
    texts = [build(template, page, tmp_path / "notes", results()) for template, page in made.items()]
    places = ["results", "../results", "notes/results"]
    assert texts == [f"![Loss & more]({place}/figures/toy/0.svg)" for place in places]


def test_a_figure_is_drawn_beside_the_result_and_stands_in_the_text(tmp_path: Path) -> None:
    made = results()
    draw(tmp_path, made)
    assert [folder.name for folder in (tmp_path / "figures").iterdir()] == ["toy"]
    assert built('{{ figure("toy") }}', made, figures="../results") == "![Loss & more](../results/figures/toy/0.svg)"
    drawn = (tmp_path / "figures" / "toy" / "0.svg").read_text(encoding="utf-8")
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
    assert (tmp_path / "figures" / "toy" / "0.svg").read_text(encoding="utf-8") == drawn


def test_rows_with_a_dot_for_each_seed_and_curves_with_intervals_are_drawn(tmp_path: Path) -> None:
    made = results()
    rows = [Dot("new", Value(0.5, 0.4, 0.6, (0.45, 0.5, 0.55))), Dot("old", Value(0.3, 0.2, 0.4))]
    made["toy"].dots = [Dots("F1 by method", "F1", rows, {"chance": 0.25})]
    lines = {"one": ([1.0, 2.0], [3.0, 2.0])}
    bands = {"one": ([2.5, 1.5], [3.5, 2.5])}
    made["toy"].curves = [Curves("Loss", "x", "y", lines, bands=bands, levels={"guessing": 4.0})]
    draw(tmp_path, made)
    assert built('{{ dots("toy") }}', made) == "![F1 by method](results/figures/toy/dots-0.svg)"
    name = "{http://www.w3.org/2000/svg}"
    page = ElementTree.parse(tmp_path / "figures" / "toy" / "dots-0.svg")
    words = {each.text for each in page.iter(f"{name}text")}
    assert {"new", "old", "chance", "F1", "F1 by method"} <= words
    marks = [each for each in page.iter(f"{name}use") if "c8553d" in each.attrib.get("style", "")]
    assert len(marks) == 3
    curves = (tmp_path / "figures" / "toy" / "0.svg").read_text(encoding="utf-8")
    assert "guessing" in curves
    assert drawn_from(curves) == made["toy"].curves[0]
    write_outcome(tmp_path / "toy.json", made["toy"])
    assert read_results(tmp_path)["toy"].dots == made["toy"].dots


def test_the_lowest_and_the_highest_seed_of_a_value_are_given() -> None:
    made = results()
    made["toy"].values["right"] = Value(0.5, 0.3, 0.7, (0.6, 0.42, 0.5))
    assert built('{{ seeds("toy", "right", ".0%") }}', made) == "42% to 60%"
    made["toy"].values["right"] = Value(0.5)
    with pytest.raises(UserError, match="toy has no value 'right' at several seeds"):
        built('{{ seeds("toy", "right") }}', made)


def test_claims_stand_in_a_table_with_verdict_and_control() -> None:
    made = results()
    made["toy"].claims = {"a": Claim("A beats B", True, control="C was tuned too"), "b": Claim("B beats A", None)}
    shown = built('{{ claims("toy") }}', made).splitlines()
    assert shown[2:] == ["| A beats B | holds |  | C was tuned too |", "| B beats A | could not be shown |  |  |"]
    assert built('{{ verdict("toy", "a") }}, {{ verdict("toy", "b") }}', made) == "holds, could not be shown"
    made["toy"].claims["a"] = Claim("A beats B", True, test="a.f1 > 0", p=0.0123, seeds=3)
    assert built('{{ claims("toy") }}', made).splitlines()[2] == "| A beats B | holds | 0.012 |  |"
    assert built("{{ judged() }}", made) == "1"
    assert "| What? | [toy](findings/toy.md) | 1 | 0 | 1 |" in built("{{ tally() }}", made)


def test_a_record_holds_all_tables_and_figures_of_a_result() -> None:
    made = results()
    text = built('{{ record("toy") }}', made, figures="../results")
    assert "**T**\n\n| x | y" in text
    assert "![Loss & more](../results/figures/toy/0.svg)" in text
    assert built('{{ head("toy") }}', made).startswith("*What?* [The result](results/toy.json)")


def test_an_outdated_result_stops_the_build_by_name(tmp_path: Path) -> None:
    made = results()["toy"]
    with pytest.raises(UserError, match=r"toy.json: is outdated, of an experiment 'toy' that no longer exists"):
        require_current(tmp_path, {"toy": made})
    made.name = "limits"
    made.claims = {"a": Claim("A", True, test="a.f1 > 0")}
    with pytest.raises(UserError, match=r"limits.json: is outdated, its verdicts are not those that its values give"):
        require_current(tmp_path, {"limits": made})
    made.claims = with_verdicts(made.claims, made.values)
    require_current(tmp_path, {"limits": made})
    require_current(notes_folder() / "results", read_results(notes_folder() / "results"))
