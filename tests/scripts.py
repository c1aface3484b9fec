"""Text in many scripts, fuzzed text, and the real files where they are."""

from __future__ import annotations

import os
import random
import unicodedata
from functools import cache
from pathlib import Path

import pytest

SCRIPTS = {
    "english": "The old lighthouse keeper didn't sleep; he'd counted 1,024 ships by 3:45 a.m., and they're all gone.",
    "german": "Über dem Fluß übt die Müllerin größere Sprünge, während 17 Gänse zuschauen – wie schön!",
    "russian": "Старый смотритель маяка не спал: он насчитал 204 корабля, и все они ушли в море.",
    "greek": "Ο φύλακας του φάρου μέτρησε 12 πλοία και μετά κοιμήθηκε ώς το πρωί.",
    "chinese": "守灯塔的老人没有睡觉，他数了一百二十艘船，天亮时它们都走了。",
    "japanese": "灯台守は眠らなかった。船を１２０隻かぞえて、朝にはもういなかった。",
    "korean": "등대지기는 잠들지 않고 배 120척을 세었다. 아침에는 모두 떠났다.",
    "arabic": "لم ينم حارس المنارة، فقد عدّ ١٢٠ سفينة، ثم رحلت كلها.",
    "hebrew": "שומר המגדלור לא ישן, הוא ספר 120 ספינות.",
    "hindi": "दीपस्तंभ का रखवाला सोया नहीं, उसने १२० जहाज़ गिने।",
    "thai": "คนเฝ้าประภาคารไม่ได้นอน เขานับเรือได้ ๑๒๐ ลำ",
    "symbols": "👩‍👩‍👧 🏳️‍🌈 e\u0301 é ½ Ⅻ ∑∞ «» ﬁ ſ İ ß \u200b\u200d\ufeff",
    "code": "def f(x):\n    if x  ==  1:\r\n\t\treturn x**2  # don't\n\n\n    return None\n",
}

PIECES = (
    *(" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\x1f"),
    *("'s", "'S", "'ſ", "'ll", "'LL", "'t", "'re", "'VE", "'d", "''", "'"),
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<|unk|>", "<|fim_prefix|>", "|||IP_ADDRESS|||"),
    *("123", "1", "12345678", "Ⅻ", "½", "the", " the", "The", "ing", ".", "...", "!?", " -", "--", "\x00", "\x7f"),
)


@cache
def characters() -> list[str]:
    """All code points that this Python's Unicode assigns, surrogates excluded (libraries disagree on the rest)."""
    kinds = ((chr(code), unicodedata.category(chr(code))) for code in range(0x110000))
    return [character for character, kind in kinds if kind not in ("Cs", "Cn")]


def fuzz(count: int, seed: int = 0) -> list[str]:
    """Return seeded strings of words in many scripts, awkward pieces and random characters."""
    chance = random.Random(seed)
    words = [word for text in SCRIPTS.values() for word in text.split(" ")]
    pool = characters()
    near = pool[:1500]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(chance.randrange(1, 14)):
            kind = chance.random()
            if kind < 0.35:
                parts.append(chance.choice(PIECES))
            elif kind < 0.65:
                parts.append(chance.choice((" ", "")) + chance.choice(words))
            else:
                parts.append("".join(chance.choices(near if kind < 0.8 else pool, k=chance.randrange(1, 5))))
        texts.append("".join(parts))
    return texts


@pytest.fixture(scope="session")
def fuzzed() -> list[str]:
    return fuzz(10_000)


@pytest.fixture(scope="session")
def scripts() -> list[str]:
    return list(SCRIPTS.values())


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("SCRATCHLM_DATA")
    if not folder:
        pytest.skip("SCRATCHLM_DATA is not set: it names the folder of real data")
    return Path(folder)
