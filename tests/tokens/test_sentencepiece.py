"""SentencePiece-style BPE: plain and fast merging agree, and `tokenizers` gives the same ids for the file we write."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Ends
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.sentencepiece import SentencePieceBPE, fast_merge, merges_by_score, plain_merge
from scratchlm.tokens.vocabulary import SPACE, SentencePieceVocabulary
from scripts import SCRIPTS


def vocabulary(prefix: bool = True, added: tuple[str, ...] = ()) -> SentencePieceVocabulary:
    """Return a vocabulary with tokens of several lengths, from the most frequent pairs of some scripts."""
    words = [SPACE + word for text in list(SCRIPTS.values())[:5] for word in text.split(" ") for _ in range(2)]
    parts = [list(word) for word in words]
    order: list[str] = sorted({character for word in words for character in word})
    known = set(order)
    made: list[str] = []
    for _ in range(150):
        pairs: dict[str, int] = {}
        for word in parts:
            for left, right in itertools.pairwise(word):
                pairs[left + right] = pairs.get(left + right, 0) + 1
        best = max((pair for pair in pairs if pair not in known), key=lambda pair: (pairs[pair], pair), default=None)
        if best is None:
            break
        made.append(best)
        known.add(best)
        for word in parts:
            at = 0
            while at + 1 < len(word):
                if word[at] + word[at + 1] == best:
                    word[at : at + 2] = [best]
                at += 1
    specials = {"<unk>": 0, "<s>": 1, "</s>": 2}
    first = 3 + 256
    extra = {text: first + place for place, text in enumerate(added)}
    first += len(added)
    pieces = {piece: first + place for place, piece in enumerate([*made, *order])}
    scores = {piece: -float(place) for place, piece in enumerate([*made, *order])}
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=merges_by_score(pieces, scores),
        byte_ids=range(3, 3 + 256),
        specials=specials,
        unknown=0,
        added=extra,
        prefix=prefix,
        ends=Ends("<s>", "</s>"),
    )


def test_the_heap_merges_as_the_loop_does() -> None:
    draw = random.Random(3)
    for _ in range(400):
        ranks = {}
        for rank in range(draw.randint(1, 30)):
            ranks.setdefault((draw.randint(0, 9), draw.randint(0, 9)), (draw.randint(0, 9), 10 + rank % 6))
        ids = [draw.randint(0, 9) for _ in range(draw.randint(0, 40))]
        assert fast_merge(ids, ranks) == plain_merge(ids, ranks)


@pytest.mark.parametrize(("prefix", "added"), [(True, ()), (False, ()), (False, ("\n\n", "the"))])
def test_tokenizers_gives_the_same_ids_for_the_file(
    prefix: bool, added: tuple[str, ...], tmp_path: Path, fuzzed: list[str]
) -> None:
    import tokenizers

    ours = SentencePieceBPE(vocabulary(prefix, added))
    ours.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.encode_special_tokens = True
    for text in [*SCRIPTS.values(), *fuzzed[:3000], "", " ", "  a", "a  b ", "▁x"]:
        if SPACE not in text or not added:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, repr(text)
    assert theirs.encode("a").ids[0] == 1


@pytest.mark.parametrize("prefix", [True, False])
def test_a_text_round_trips_except_that_u2581_becomes_a_space(prefix: bool, fuzzed: list[str]) -> None:
    ours = SentencePieceBPE(vocabulary(prefix))
    for text in [*SCRIPTS.values(), *fuzzed[:2000], " ", "  a"]:
        assert ours.decode(ours.encode(text)) == text.replace(SPACE, " ")


def test_a_saved_tokenizer_is_loaded_with_the_same_fingerprint(tmp_path: Path) -> None:
    ours = SentencePieceBPE(vocabulary(added=("\n\n",)))
    ours.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, SentencePieceBPE)
    assert again.fingerprint == ours.fingerprint
    assert (again.begin_of_text, again.end_of_text) == (1, 2)
    assert again.encode("a\n\nb") == ours.encode("a\n\nb")
    assert ours.vocabulary.added["\n\n"] in ours.encode("a\n\nb")


def test_special_strings_in_a_text_stay_text() -> None:
    ours = SentencePieceBPE(vocabulary())
    assert not {0, 1, 2} & set(ours.encode("</s> <s> <unk>"))


def test_within_a_conversation_only_the_beginning_of_a_stretch_gets_a_space() -> None:
    ours = SentencePieceBPE(vocabulary())
    layout = (
        "{% for message in messages %}{{ bos_token }}{{ message['role'] }}: {{ message['content'] }}{{ eos_token }}"
        "{% endfor %}"
    )
    ids = ChatTemplate(ours, layout).render([{"role": "user", "content": "the ships"}]).ids
    assert ids == [1, *ours.encode("user: "), *ours.encode_after("the ships"), 2]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    SentencePieceBPE(vocabulary()).save(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for change, said in [
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": {**data["model"], "merges": [["q", "\u0123"]]}}, "not one of two tokens"),
    ]:
        (tmp_path / "tokenizer.json").write_text(json.dumps({**data, **change}), encoding="utf-8")
        with pytest.raises(UserError, match=said):
            load_tokenizer(tmp_path)


@pytest.mark.parametrize("id", [-5, -(10**6), 10**7, 0])
def test_an_added_token_with_another_id_than_its_piece_is_refused(id: int, tmp_path: Path) -> None:
    made = vocabulary()
    SentencePieceBPE(made).save(tmp_path)
    file = tmp_path / "tokenizer.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    data["added_tokens"].append({**data["added_tokens"][0], "id": id, "content": made.merges[0][0], "special": False})
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=r"has another id than in the vocabulary|belongs to two tokens|out of bounds"):
        load_tokenizer(tmp_path)
