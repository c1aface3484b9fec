"""Several seeds: their mean and interval, and the tables, figures and claims that follow from it."""

from __future__ import annotations

import numpy as np
import pytest

from lab.outcomes import concluded, holding
from scratchlm.lab.harness.findings import Cell, Findings, Sentence, conclude
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Outcome, Value
from scratchlm.lab.harness.seeds import over_seeds
from scratchlm.lab.harness.verdicts import below, corrected, judged
from scratchlm.lab.shared.proportions import mean_of, proportion


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.3), (5, 0.3), (5, 0.05)])
def test_intervals_over_seeds_and_items_cover_the_true_mean(seeds: int, between: float) -> None:
    draw, covered, rounds = np.random.default_rng(0), 0, 400
    for _ in range(rounds):
        items = draw.normal(0, 1, 100)  # the same items for each seed
        scores = draw.normal(0, between, (seeds, 1)) + items + draw.normal(0, 0.2, (seeds, 100))
        value = over_seeds([mean_of(row) for row in scores])
        covered += value.ends[0] <= 0 <= value.ends[1]
    assert covered >= 0.93 * rounds


def test_one_seed_or_equal_seeds_keep_the_value_as_it_is() -> None:
    value = Value(0.5, 0.4, 0.6)
    assert over_seeds([value]) == value
    assert over_seeds([value, value, value]) == value


def test_the_interval_is_students_t_over_seeds_and_the_items_interval_together() -> None:
    found = over_seeds([Value(1.0, 0.7, 1.3), Value(2.0, 1.7, 2.3), Value(3.0, 2.7, 3.3)])
    half = np.hypot(4.303 / np.sqrt(3), 0.3)
    assert (found.value, found.seeds) == (2.0, (1.0, 2.0, 3.0))
    assert found.ends == pytest.approx((2 - half, 2 + half))
    assert over_seeds([Value(1.0), Value(2.0), Value(3.0)]).high == pytest.approx(2 + 4.303 / np.sqrt(3))


def test_the_interval_of_a_fraction_stays_within_0_and_1() -> None:
    found = over_seeds([proportion([1.0] * 20), proportion([1.0] * 10 + [0.0] * 10)])
    assert found.ends[1] == 1.0
    assert found.ends[0] >= 0.0


SAYS = {
    "grows": Sentence("The second is {by} than the first", control="nothing but {by}"),
    "lower": Sentence("The second is lower"),
    "both": Sentence("Both", "gap > 0 and m0 > {least}"),
    "neither": Sentence("Not higher"),
}


def seed(*bits: float) -> Findings:
    found = Findings()
    for at, value in enumerate(bits):
        found.values[f"m{at}"] = Value(value, value - 0.01, value + 0.01)
    gaps = bits[1] - bits[0] + 0.001 * np.sin(np.arange(50))
    found.claim("grows", found.gain("gap", paired(gaps)), by="more")
    found.claim("lower", below("m1", "m0"))
    found.claim("both", least="0.5")
    found.claim("neither", below("gap"))
    found.derive("sum", lambda values: Value(values["m0"].value + values["m1"].value))
    found.table("Bits", ["", "bits"], [["first", Cell("m0")], ["second", Cell("m1", ".1f", False)], ["", Cell("none")]])
    found.curves(
        "Curve", "x", "y", {"a": ([1, 2], ["m0", "m1"]), "b": ([1, 2], [bits[0], bits[1]])}, levels={"m": "m0"}
    )
    found.dots("Dots", "bits", {"first": "m0", "second": "m1"})
    return found


def test_tables_figures_and_claims_are_made_from_the_values_over_all_seeds() -> None:
    found = [seed(1.0, 2.0), seed(1.1, 2.2), seed(1.2, 1.9)]
    made = concluded(*found, says=SAYS)
    assert made.values["sum"].value == pytest.approx(1.1 + 6.1 / 3)
    low, high = made.values["m0"].ends
    assert made.tables[0].rows == [["first", f"1.100 ({low:.3f} to {high:.3f})"], ["second", "2.0"], ["", ""]]
    assert made.curves[0].lines["a"][1] == pytest.approx([1.1, 6.1 / 3])
    assert made.curves[0].lines["b"][1] == pytest.approx(made.curves[0].lines["a"][1])
    assert made.curves[0].bands["a"][0][0] == pytest.approx(low)
    assert made.curves[0].levels == {"m": pytest.approx(1.1)}
    assert [row.value.seeds for row in made.dots[0].rows] == [(1.0, 1.1, 1.2), (2.0, 2.2, 1.9)]
    assert made.notes[0].startswith("3 seeds")
    assert made.claims["grows"].says == "The second is more than the first"
    assert made.claims["grows"].control == "nothing but more"
    assert {key: claim.holds for key, claim in made.claims.items()} == {
        "grows": True, "lower": False, "both": True, "neither": False
    }  # fmt: skip


def test_what_varies_too_much_between_seeds_could_not_be_shown() -> None:
    made = concluded(seed(1.0, 2.0), seed(2.0, 1.5), seed(1.0, 1.7), says=SAYS)
    assert {key: claim.holds for key, claim in made.claims.items()} == {
        "grows": None, "lower": None, "both": None, "neither": None
    }  # fmt: skip
    assert made.verdict(made.claims["grows"]) == "could not be shown"
    assert holding(seed(1.0, 2.0), says=SAYS) == {"grows", "both"}


def test_another_confidence_widens_an_interval_by_students_t_over_its_seeds() -> None:
    """Tables of t with 2 degrees of freedom: 4.3027 at 95%, 8.860 at 98.75%; of the normal law 1.960 and 2.4977."""
    one = Value(0.5, 0.4, 0.6)
    assert one.at(0.9875).high == pytest.approx(0.5 + 0.1 * 2.4977 / 1.96, abs=1e-4)
    assert one.at(0.95).low == pytest.approx(0.4)
    three = over_seeds([Value(0.4), Value(0.5), Value(0.6)])
    assert three.at(0.9875).low == pytest.approx(0.5 - 8.860 * 0.1 / np.sqrt(3), abs=1e-3)
    both = over_seeds([Value(0.4, 0.3, 0.5), Value(0.5, 0.4, 0.6), Value(0.6, 0.5, 0.7)])
    half = np.hypot(8.860 * 0.1 / np.sqrt(3), 0.1 * 2.4977 / 1.96)
    assert both.at(0.9875).low == pytest.approx(0.5 - half, abs=1e-3)
    assert both.at(0.95).ends == pytest.approx(both.ends)
    assert Value(0.5).at(0.9875) == Value(0.5)


def test_a_test_is_shown_at_the_level_at_which_its_weakest_comparison_is() -> None:
    """A difference of 1.960 standard errors has a p-value of 0.05, one of 2.5758 of 0.01 (tables of the normal law)."""
    values = {"weak": Value(1.96, 0.0, 3.92), "strong": Value(2.5758, 2.5758 - 1.96, 2.5758 + 1.96),
              "negative": Value(-2.5758, -2.5758 - 1.96, -2.5758 + 1.96), "exact": Value(3.0)}  # fmt: skip
    assert judged("strong > 0", values) == (True, pytest.approx(0.01, rel=1e-3))
    assert judged("strong < 0", values) == (False, pytest.approx(0.01, rel=1e-3))
    assert judged("strong > 0 and weak > 0", values) == (True, pytest.approx(0.05, rel=1e-3))
    assert judged("strong > 0 and negative > 0", values) == (False, pytest.approx(0.02, rel=1e-3))
    assert judged("strong > 0 or negative > 0", values) == (True, pytest.approx(0.02, rel=1e-3))
    assert judged("weak < 0 or negative > 0", values) == (False, pytest.approx(0.05, rel=1e-3))
    assert judged("exact > 2", values) == judged("exact > 2 and exact < 4", values) == (True, None)
    assert judged("exact > 3", values) == (False, None)
    assert judged("weak < 0.5 * exact", {**values, "weak": Value(1.5, 1.0, 2.0)}).p == 1.0
    assert judged("strong > exact", values).holds is False
    with pytest.raises(ValueError, match="is no comparison"):
        judged("strong above 0", values)


def test_p_values_of_several_claims_are_corrected_together() -> None:
    """The example has the adjusted p-values that R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") gives."""
    levels = corrected({"a": 0.03, "b": 0.01, "c": 0.04, "d": 0.02})
    assert levels == pytest.approx({"b": 0.04, "d": 0.06, "a": 0.06, "c": 0.06})
    assert corrected({}) == {}


def test_a_verdict_counts_the_other_claims_and_says_if_it_has_one_seed() -> None:
    def verdicts(*others: str) -> dict[str, str]:
        outcome, findings = Outcome("toy", "?"), Findings()
        for key in ("a", *others):
            findings.values[key] = Value(2.2, 2.2 - 1.96, 2.2 + 1.96)  # p = 0.028
            findings.claim(key, f"{key} > 0", entry="neither")
        findings.claim("exact", True, entry="neither")
        conclude(outcome, [findings], SAYS)
        return {key: outcome.verdict(claim) for key, claim in outcome.claims.items()}

    assert verdicts() == {"a": "holds at one seed", "exact": "holds"}
    assert verdicts("b")["a"] == "could not be shown at one seed"
