"""Layers pooled, dropped and mixed against the model's own ways."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heads.conftest import UNEQUAL, texts, tiny

from embeddings.evaluation.sts import Pairs
from embeddings.heads import layers, measures
from embeddings.models import transformer


@pytest.fixture(scope="module")
def measure():
    some = texts(21)
    return measures.of_pairs(Pairs("toy", tuple(some[:-1]), tuple(some[1:]), np.random.default_rng(1).uniform(size=20)))


@pytest.mark.slow  # compiles a program for each way of leaving out layers
def test_layers_are_measured(model, measure):
    found = layers.measured(model, measure, lambda *_: None)
    assert len(found.pooled) == len(found.weights) == 4 and len(found.without) == 3
    pooled = model.encode(measure.texts, layer=2)
    assert found.pooled[2] == pytest.approx(measure.score(measure.items(pooled)), abs=0.02)
    assert found.score == measure.score(measure.items(model.encode(measure.texts)))
    assert sum(found.weights) == pytest.approx(1, abs=1e-5)
    assert found.without[2] == pytest.approx(found.pooled[2], abs=0.02), "without the last is the last but one pooled"


@pytest.mark.parametrize("kept", [(), UNEQUAL])
def test_a_dropped_layer_is_gone_through_untouched(kept):
    model = tiny("bert", kept)
    stack, x = model.config.stack, jax.random.normal(jax.random.key(0), (1, 5, 24))
    segments = jnp.ones((1, 5), jnp.int32)
    less = layers.dropped(model, [1])
    found = transformer.apply(less.params["transformer"], less.config.stack, x, segments).hidden
    expected = x
    for layer in (0, 2):
        of_layer = model.params["transformer"]["layers"]
        of_layer = of_layer[layer] if kept else jax.tree.map(lambda leaf, n=layer: leaf[n], of_layer)
        expected = transformer.block(stack, layer).apply({"params": of_layer}, expected, segments)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert less.config.stack.kept == (UNEQUAL[::2] if kept else ())


def test_a_mix_finds_the_layer_that_tells():
    random = np.random.default_rng(0)
    judgements = random.uniform(size=40)
    some = texts(80)
    measure = measures.of_pairs(Pairs("toy", tuple(some[:40]), tuple(some[40:]), judgements))
    vectors = random.normal(size=(3, 80, 2)).astype(np.float32)
    angle = np.arccos(judgements)
    vectors[1, :40] = [1, 0]
    vectors[1, 40:] = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    loss = measure.loss(vectors[0])
    loss = dataclasses.replace(loss, targets=judgements.astype(np.float32))
    weights = layers.mixed(vectors, loss, np.arange(0, 40, 2))
    assert weights.argmax() == 1 and weights[1] > 0.8
