"""The two tables and the scores read from them."""
import jax
import jax.numpy as jnp
import numpy as np

from embeddings.models import word2vec


def test_the_start_is_that_of_the_authors_program():
    config = word2vec.Config(vocabulary=400, width=50)
    params = word2vec.init(jax.random.key(0), config)
    x = np.asarray(params.input)
    assert x.shape == params.output.shape == (400, 50)
    assert np.abs(x).max() <= 0.5 / 50
    np.testing.assert_allclose(x.std(), 1 / 50 / np.sqrt(12), rtol=0.02)
    assert not params.output.any()
    assert (word2vec.vectors(params) == params.input).all()


def test_scores_are_dots_with_the_mean_of_the_context():
    rng = np.random.default_rng(0)
    params = word2vec.Params(*(jnp.asarray(rng.normal(size=(6, 4)), jnp.float32) for _ in range(2)))
    context = np.array([[0, 3, 5], [2, 2, 1]])
    mask = np.array([[True, True, False], [True, True, True]])
    centre = np.array([4, 0])
    want = [
        np.mean([params.input[j] for j, m in zip(context[p], mask[p], strict=True) if m], axis=0)
        @ params.output[centre[p]]
        for p in range(2)
    ]
    got = word2vec.apply(params, jnp.asarray(context), jnp.asarray(centre), jnp.asarray(mask))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    nothing = word2vec.apply(params, jnp.asarray(context), jnp.asarray(centre), jnp.zeros((2, 3), bool))
    assert not nothing.any()
