"""Designed features: what each measures, and classifiers on them."""

from __future__ import annotations

import numpy as np
import pytest

from scratchlm.classic.designed import FEATURES, SPAMBASE, DesignedTexts, groups_of, measured, without
from scratchlm.classic.protocol import TextClassifier

SPAM = [
    "WINNER!! Claim your £900 prize, call 09061701461. T&Cs apply, text STOP to 80082 to opt out",
    "Free entry: txt WIN to 87121 now! 18+ only, £1.50 per msg, www.prizes.co.uk",
    "URGENT! Your mobile was selected for a free ringtone, reply YES. PO Box 12, 150p/min",
]
HAM = ["ok, see you at lunch :)", "i am home... where are you?", "sorry, I'll call you later", "thanks love x"]
LABELS = [1] * len(SPAM) + [0] * len(HAM)


def of(name: str, text: str) -> float:
    at = next(at for at, feature in enumerate(FEATURES) if feature.name == name)
    return float(measured([text])[0, at])


@pytest.mark.parametrize(
    ("name", "spam", "ham"),
    [
        ("characters", "twelve chars", "two"),
        ("words", "one two three", "one"),
        ("word length", "congratulations", "ok u r"),
        ("capital letters", "WIN now", "win now"),
        ("words in capitals", "CALL NOW", "Call Now"),
        ("longest run of capitals", "CALL NOW", "CaLl NoW"),
        ("digits", "call 12345", "call me"),
        ("numbers", "1 or 2", "one or two"),
        ("phone numbers", "call 0906 170 1461", "call 12345"),
        ("short codes", "txt to 80082", "txt to 0906170"),
        ("letters and digits in one word", "code KL341", "code 341"),
        ("currency signs", "£5", "5"),
        ("prices", "only 150p", "only 150 people"),
        ("rates", "£1 per min", "one per person"),
        ("percent signs", "50% off", "half off"),
        ("exclamation marks", "now!", "now."),
        ("repeated marks", "now!!", "now!"),
        ("other signs", "news & more > here", "news and more, here"),
        ("links", "see www.win.com", "see win dot com"),
        ("links", "see prizes.co.uk", "see you. so long"),
        ("e-mail addresses", "write to a@b.com", "write to me @ home"),
        ("postal addresses", "PO Box 9", "a box of tea"),
        ("text WORD to NUMBER", "text WIN to 80082", "text me to say when"),
        ("requests to answer", "call us", "see us"),
        ("prizes", "a prize", "a price"),
        ("offers", "free voucher", "freedom"),
        ("urgency", "urgent", "slow"),
        ("services", "a ringtone", "a ring"),
        ("accounts and money", "your account", "your aunt"),
        ("dating", "hot singles", "cold pairs"),
        ("opt-out words", "text STOP", "text me"),
        ("terms", "terms apply", "exams begin"),
        ("age limits and T&C", "T&Cs, 18+", "tea and cake, 20"),
    ],
)  # fmt: skip
def test_a_feature_of_advertising_is_higher_where_it_should_be(name: str, spam: str, ham: str) -> None:
    assert of(name, spam) > of(name, ham)


@pytest.mark.parametrize(
    ("name", "ham", "spam"),
    [
        ("lower-case start", "hello", "Hello"),
        ("question marks", "where are you?", "Here."),
        ("dots in a row", "well...", "Well."),
        ("first person", "I'm home", "You won"),
        ("small talk", "ok thanks", "valued customer"),
        ("smileys and kisses", "see you :) x", "see us at 8"),
    ],
)
def test_a_feature_of_private_messages_is_higher_where_it_should_be(name: str, ham: str, spam: str) -> None:
    assert of(name, ham) > of(name, spam)


def test_every_feature_has_its_own_name_and_measures_any_text() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    odd = ["", " ", "?", "€" * 300, "\n\t", "日本語のメッセージ", "A", "🙂 x"]
    for features in (FEATURES, SPAMBASE):
        table = measured(odd, features)
        assert table.shape == (len(odd), len(features))
        assert np.isfinite(table).all()
    assert measured([]).shape == (0, len(FEATURES))


def test_spambase_has_57_features_and_measures_fractions_and_runs() -> None:
    assert len(SPAMBASE) == 57
    found = dict(zip([each.name for each in SPAMBASE], measured(["FREE money! free YOU"], SPAMBASE)[0], strict=True))
    assert found["free"] == 0.5
    assert found["!"] == 1 / 20
    assert (found["mean run"], found["longest run"], found["total"]) == (3.5, 4, 7)
    assert (found["["], found["money"]) == (0, 0.25)


def test_groups_can_be_left_out() -> None:
    kept = without("digits", "money")
    assert {feature.group for feature in kept} == set(groups_of()) - {"digits", "money"}
    assert without() == FEATURES
    with pytest.raises(ValueError, match="colours"):
        without("colours")


@pytest.mark.parametrize("words", [False, True])
def test_classifiers_on_designed_features_learn(words: bool) -> None:
    model = DesignedTexts(words=words)
    assert isinstance(model, TextClassifier)
    given = model.fit([*SPAM, *HAM], LABELS).predict_proba([*SPAM, *HAM, "xyzzy"])
    np.testing.assert_allclose(given.sum(1), 1)
    assert (given[:-1, 1] >= 0.5).tolist() == [bool(label) for label in LABELS]
    again = DesignedTexts(words=words).fit([*SPAM, *HAM], LABELS).predict_proba([*SPAM, *HAM, "xyzzy"])
    np.testing.assert_array_equal(given, again)


def test_counted_words_beside_designed_features_add_what_words_alone_know() -> None:
    texts, labels = ["blue lamp", "blue door", "pink lamp", "pink door"] * 3, [1, 1, 0, 0] * 3
    alone = DesignedTexts(100.0, [FEATURES[0]]).fit(texts, labels).predict_proba(["blue cups", "pink cups"])[:, 1]
    both = DesignedTexts(100.0, [FEATURES[0]], words=True)
    given = both.fit(texts, labels).predict_proba(["blue cups", "pink cups"])[:, 1]
    assert given[0] - given[1] > 0.5 > alone[0] - alone[1]
    assert both.size() > DesignedTexts(100.0, [FEATURES[0]]).fit(texts, labels).size() > 0


def test_without_any_feature_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(AssertionError, match="no feature"):
        DesignedTexts(features=())
