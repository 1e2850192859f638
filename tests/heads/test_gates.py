"""Hard concrete gates against their definition, and that they learn which head matters."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heads.conftest import UNEQUAL, texts, tiny

from embeddings.evaluation.sts import Pairs
from embeddings.heads import gates, measures
from embeddings.problems import Problem


def test_gates_are_open_as_often_as_said():
    log_alpha = jnp.array([[-3.0, -1.0, 0.0, 2.0]])
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.vmap(lambda key: gates.drawn(key, log_alpha))(keys))
    assert drawn.min() == 0 and drawn.max() == 1
    np.testing.assert_allclose((drawn > 0).mean(axis=0), gates.open_probability(log_alpha), atol=0.03)
    np.testing.assert_allclose(gates.settled(np.array([[-9.0, 0.0, 9.0]])), [[0, 0.5, 1]], atol=1e-3)


@pytest.mark.slow  # learns
def test_a_penalty_closes_gates(model):
    some = texts(13)
    cosines = np.random.default_rng(0).uniform(0, 5, 12)
    measure = measures.of_pairs(Pairs("toy", tuple(some[:-1]), tuple(some[1:]), cosines))
    told = []
    log_alpha = gates.learned(model, measure, model.encode(measure.texts), np.arange(0, 12, 2),
                              gates.Training(10.0, 30, 2, 0.3), told.append)
    assert log_alpha.shape == (3, 4) and (gates.settled(log_alpha) == 0).all()
    assert len(told) == 30 and told[-1] == 1


def test_models_that_lost_heads_already_are_refused():
    model = tiny("bert", UNEQUAL)
    some = texts(5)
    measure = measures.of_pairs(Pairs("toy", tuple(some[:-1]), tuple(some[1:]), np.arange(4.0)))
    with pytest.raises(Problem, match="has lost heads already"):
        gates.learned(model, measure, np.zeros((5, 24), np.float32), np.arange(4), gates.Training(), lambda _: None)
