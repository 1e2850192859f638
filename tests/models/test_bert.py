import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer as plain
import pytest

from embeddings.inputs.sequences import Tokens
from embeddings.models import bert, transformer

STACK = transformer.Config(2, 8, 2, 4, 12, dropout=0.2, attention_dropout=0.0, deviation=0.3, epsilon=1e-5)
BERT = bert.Config(11, 9, types=2, stack=STACK)
MPNET = bert.Config(11, 9, first_position=2, types=0, buckets=6, stack=STACK)
TOKENS = Tokens(*(jnp.array(rows) for rows in (
    [[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]], [[1, 1, 1, 2, 2], [1, 1, 1, 0, 0]], [[0, 1, 2, 0, 1], [0, 1, 2, 0, 0]],
    [[0, 0, 1, 0, 1], [0, 1, 1, 0, 0]])))


def drawn(config):
    draw = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: bert.init(jax.random.key(0), config))
    return jax.tree.map(lambda leaf: jnp.asarray(draw.normal(0, 0.5, leaf.shape), jnp.float32), shapes)


@pytest.mark.parametrize("config", [BERT, MPNET], ids=["types", "distances"])
def test_it_is_the_definition(config):
    p = drawn(config)
    q = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), p)
    out = jax.jit(lambda p: bert.apply(p, config, TOKENS, outputs={"states"}))(p)
    bias = bert.distance_bias(p["distances"], 5) if config.buckets else None
    for row in range(2):
        ids, segments, positions, types = (np.asarray(part[row]) for part in TOKENS)
        x = q["words"][ids] + q["positions"][positions + config.first_position]
        x = plain.norm(x + (q["types"][types] if config.types else 0), q["norm"], 1e-5)
        layers = [jax.tree.map(lambda leaf, n=n: leaf[n], q["transformer"]["layers"]) for n in range(2)]
        states, _ = plain.stack(x, layers, None, config.stack, segments, bias=bias)
        np.testing.assert_allclose(out.states[:, row], states, atol=2e-5)


def test_pooled_and_logits_are_the_definition():
    p = drawn(BERT)
    states = jax.random.normal(jax.random.key(0), (3, 8))
    q, h = (jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree) for tree in (p, states))
    np.testing.assert_allclose(bert.pooled(p, BERT, states), np.tanh(plain.linear(h, q["pooler"])), atol=1e-5)
    head = q["predictions"]
    y = plain.norm(plain.gelu(plain.linear(h, head["transform"])), head["norm"], 1e-5)
    np.testing.assert_allclose(bert.logits(p, BERT, states), y @ q["words"].T + head["bias"], atol=5e-5)


def test_dropout_is_drawn_by_rows_from_the_input_on():
    p, keys = drawn(BERT), bert.row_keys(jax.random.key(1), 2)
    apply = jax.jit(lambda p, tokens, keys: bert.apply(p, BERT, tokens, key=keys).hidden)
    both = apply(p, TOKENS, keys)
    alone = apply(p, Tokens(*(part[1:] for part in TOKENS)), keys[1:])
    np.testing.assert_allclose(alone, both[1:], atol=1e-5)
    x = bert.embed(p, BERT, TOKENS, keys)
    assert 0.05 < (np.asarray(x) == 0).mean() < 0.4
    assert (np.asarray(bert.embed(p, BERT, TOKENS)) != 0).all()


def test_parameters_start_as_told():
    p = bert.init(jax.random.key(0), MPNET)
    assert set(p) == {"words", "positions", "distances", "norm", "pooler", "predictions", "transformer"}
    assert (p["words"].shape, p["positions"].shape, p["distances"].shape) == ((11, 8), (9, 8), (6, 2))
    assert np.std(p["words"]) == pytest.approx(0.3, rel=0.3) and not np.any(p["predictions"]["bias"])
    assert (MPNET.longest, BERT.longest) == (7, 9)
    bare = jax.eval_shape(lambda: bert.init(jax.random.key(0), bert.Config(11, 9, 0, 0, 0, False, False, STACK)))
    assert set(bare) == {"words", "positions", "norm", "transformer"}
