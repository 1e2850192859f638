"""Words made of rows, against loops over their definition."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.models import fasttext
from embeddings.models.word2vec import Params
from embeddings.tokenizers.subwords import Subwords

WORDS = [f"w{n}x{n * n}" for n in range(30)]


def test_the_start_is_that_of_the_authors_program():
    params = fasttext.init(jax.random.key(0), fasttext.Config(vocabulary=300, ngrams=100, width=50))
    x = np.asarray(params.input)
    assert x.shape == (400, 50) and params.output.shape == (300, 50)
    assert np.abs(x).max() <= 1 / 50
    np.testing.assert_allclose(x.std(), 2 / 50 / np.sqrt(12), rtol=0.02)
    assert not params.output.any()
    weighted = fasttext.init(jax.random.key(0), fasttext.Config(300, 100, 50, positions=4))
    assert (weighted.input.positions == 1).all() and weighted.input.positions.shape == (4, 50)
    assert (fasttext.table(weighted) == x).all() and (fasttext.table(params) == x).all()


def test_scores_are_dots_with_the_mean_of_all_rows():
    rng = np.random.default_rng(0)
    rows, output, positions = (jnp.asarray(rng.normal(size=(n, 4)), jnp.float32) for n in (9, 5, 6))
    given, predicted = np.array([[0, 3, 8], [2, 2, 1]]), np.array([4, 0])
    mask = np.array([[True, True, False], [True, True, True]])
    places = np.array([[0, 5, 1], [2, 2, 3]])
    for weighted in (False, True):
        want = []
        for p in range(2):
            z = [rows[g] * (positions[o] if weighted else 1)
                 for g, o, m in zip(given[p], places[p], mask[p], strict=True) if m]
            want.append(np.mean(z, axis=0) @ output[predicted[p]])
        params = Params(fasttext.Weighted(rows, positions) if weighted else rows, output)
        asked = map(jnp.asarray, (given, predicted, mask, *([places] if weighted else [])))
        got = fasttext.apply(params, *asked)
        np.testing.assert_allclose(got, want, rtol=1e-5)
    assert not fasttext.apply(params, jnp.asarray(given), jnp.asarray(predicted), jnp.zeros((2, 3), bool)).any()


@pytest.mark.parametrize("portion", [16, 65536])
def test_a_words_vector_is_the_mean_of_its_row_and_its_ngrams(portion, monkeypatch):
    monkeypatch.setattr(fasttext, "PORTION", portion)
    jax.clear_caches()
    table = Subwords(2, 4, 100).rows(WORDS)
    rows = np.random.default_rng(1).normal(size=(len(WORDS) + len(table.buckets), 5)).astype(np.float32)
    got = fasttext.vectors(jnp.asarray(rows), table.starts, table.rows, len(WORDS))
    for v, word in enumerate(WORDS):
        members = [v, *(len(WORDS) + np.searchsorted(table.buckets, Subwords(2, 4, 100).ngrams(word)))]
        np.testing.assert_allclose(got[v], rows[members].mean(axis=0), rtol=1e-5, atol=1e-6)
