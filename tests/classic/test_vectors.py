"""Word vectors: the gradient by finite differences, and similar vectors for words in similar contexts."""

from __future__ import annotations

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.classic.vectors import Word2VecConfig, learn_vectors, step


def loss(middle: np.ndarray, beside: np.ndarray, centres: np.ndarray, others: np.ndarray) -> float:
    products = np.einsum("pd,pkd->pk", middle[centres], beside[others])
    products[:, 1:] *= -1
    return float(np.log1p(np.exp(-products)).sum())


def test_a_step_follows_the_gradient_of_finite_differences() -> None:
    draw = np.random.default_rng(0)
    middle, beside = draw.normal(size=(5, 3)), draw.normal(size=(5, 3))
    centres, others = np.array([0, 1, 0]), np.array([[1, 2], [3, 3], [4, 0]])
    for table in (middle, beside):
        before = table.copy()
        stepped = [middle.copy(), beside.copy()]
        step(*stepped, centres, others, 1.0)
        gradient = before - stepped[0 if table is middle else 1]
        for place in np.ndindex(table.shape):
            table[place] += 1e-6
            up = loss(middle, beside, centres, others)
            table[place] -= 2e-6
            down = loss(middle, beside, centres, others)
            table[place] = before[place]
            assert gradient[place] == pytest.approx((up - down) / 2e-6, abs=1e-5)


def test_words_in_similar_contexts_get_similar_vectors() -> None:
    draw = np.random.default_rng(0)
    animals, tools = ["fox", "hen", "cow"], ["saw", "axe", "rope"]
    sentences = []
    for _ in range(1500):
        if draw.random() < 0.5:
            sentences.append([draw.choice(animals), "eats", draw.choice(["grass", "corn"])])
        else:
            sentences.append([draw.choice(tools), "cuts", draw.choice(["wood", "twine"])])
    vectors = learn_vectors(sentences, Word2VecConfig(12, window=2, epochs=8, subsample=1.0))
    assert {word for word, _ in vectors.nearest("fox", 2)} == {"hen", "cow"}
    assert vectors.similarity("saw", "axe") > 0.5 > vectors.similarity("saw", "cow")
    same = learn_vectors(sentences, Word2VecConfig(12, window=2, epochs=8, subsample=1.0))
    np.testing.assert_array_equal(same.vectors, vectors.vectors)


def test_words_without_a_vector_and_too_little_text_are_refused() -> None:
    vectors = learn_vectors([["fox", "hen"]] * 6, Word2VecConfig(4))
    with pytest.raises(UserError, match="'fos': has no vector; did you mean 'fox'"):
        vectors.nearest("fos")
    with pytest.raises(UserError, match="min_count 5: 0 words occur so often"):
        learn_vectors([["fox", "hen"]])
