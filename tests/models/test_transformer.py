"""The Transformer beside loops over its definition, and beside itself: cut, frozen, computed again, in rows."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer as plain
import pytest

from embeddings.models import transformer
from embeddings.models.dropout import row_keys
from embeddings.models.transformer import Config

L, B, T, S, D, H = 2, 2, 5, 4, 8, 3
SMALL = Config(L, D, H, 4, 12, dropout=0.2, attention_dropout=0.3, inner_dropout=0.1, deviation=0.5, epsilon=1e-5)
X = jax.random.normal(jax.random.key(0), (B, T, D))
SEGMENTS = jnp.array([[1, 1, 1, 2, 0], [1, 1, 1, 1, 1]])
MEMORY = jax.random.normal(jax.random.key(1), (B, S, D)), jnp.array([[1, 2, 1, 0], [1, 1, 1, 1]])
BIAS = jax.random.normal(jax.random.key(2), (H, T, T))
MASK = jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 2.0]])
FORMS = {
    "post": SMALL,
    "post, last norm": dataclasses.replace(SMALL, last_norm=True, activation="relu"),
    "pre, causal": dataclasses.replace(SMALL, norm="pre", causal=True, last_norm=True, activation="gelu_tanh"),
    "cross": dataclasses.replace(SMALL, cross=True, causal=True),
    "pre, cross": dataclasses.replace(SMALL, cross=True, norm="pre", last_norm=True),
}
ALL = frozenset({"states", "attention"})
apply = jax.jit(transformer.apply, static_argnames=("config", "frozen", "outputs"))


@functools.cache
def drawn(config):
    """Parameters whose biases and norms are no zeros and ones."""
    draw = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: transformer.init(jax.random.key(0), config))
    return jax.tree.map(lambda leaf: jnp.asarray(draw.normal(0, 0.5, leaf.shape), jnp.float32), shapes)


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def one(params, layer):
    """The parameters of a layer."""
    layers = params["layers"]
    return layers[layer] if isinstance(layers, tuple) else jax.tree.map(lambda leaf: leaf[layer], layers)


def by_loop(params, config, x, memory=None, **how):
    """States `[L + 1, B, T, D]` and weights `[L, B, H, T, T]`."""
    params = float64(params)
    layers = [one(params, n) for n in range(config.layers)]
    states, weights = [], []
    for row in range(len(x)):
        seen = None if memory is None else (np.asarray(memory[0][row], np.float64), np.asarray(memory[1][row]))
        s, a = plain.stack(np.asarray(x[row], np.float64), layers, params.get("norm"), config,
                           np.asarray(SEGMENTS[row]), memory=seen, **how)
        states.append(s)
        weights.append(np.stack(a))
    return np.stack(states, 1), np.stack(weights, 1)


@pytest.mark.parametrize("form", FORMS)
def test_states_and_attention_are_the_definitions(form):
    config = FORMS[form]
    params = drawn(config)
    memory = MEMORY if config.cross else None
    plainly = apply(params, config, X, SEGMENTS, memory=memory)
    states, weights = by_loop(params, config, X, memory)
    np.testing.assert_allclose(plainly.hidden, states[-1], atol=2e-5)
    assert plainly.states is None and plainly.attention is None
    asked = apply(
        params, config, X, SEGMENTS, bias=BIAS, head_mask=MASK, memory=memory, outputs=ALL
    )
    states, weights = by_loop(params, config, X, memory, bias=np.asarray(BIAS, np.float64), masks=MASK)
    np.testing.assert_allclose(asked.states, states, atol=2e-5)
    np.testing.assert_allclose(asked.attention, weights, atol=2e-5)
    np.testing.assert_allclose(asked.hidden, states[-1], atol=2e-5)


@pytest.mark.parametrize("form", ["post", "pre, cross"])
def test_gradients_by_finite_differences_of_the_loop(form):
    config = FORMS[form]
    params, memory = drawn(config), MEMORY if config.cross else None
    weight = np.random.default_rng(0).normal(size=X.shape)

    def loss(params, x, mask):
        out = apply(params, config, x, SEGMENTS, head_mask=mask, memory=memory)
        return jnp.sum(out.hidden * jnp.asarray(weight, jnp.float32))

    inputs = (params, X, MASK)
    gradients = jax.grad(loss, argnums=(0, 1, 2))(*inputs)
    leaves, tree = jax.tree.flatten(float64(inputs))
    draw = np.random.default_rng(1)
    towards = [draw.normal(size=leaf.shape) for leaf in leaves]

    def at(step):
        moved = jax.tree.unflatten(tree, [x + step * t for x, t in zip(leaves, towards, strict=True)])
        params, x, masks = moved
        return (by_loop(params, config, x, memory, masks=masks)[0][-1] * weight).sum()

    slope = (at(1e-6) - at(-1e-6)) / 2e-6
    found = sum((np.asarray(g) * t).sum() for g, t in zip(jax.tree.leaves(gradients), towards, strict=True))
    assert found == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_layers_are_scanned_as_if_they_stood_one_after_another():
    params = drawn(SMALL)
    expected = apply(params, SMALL, X, SEGMENTS, bias=BIAS, outputs=ALL)
    layer = jax.jit(lambda p, x: transformer.block(SMALL).apply({"params": p}, x, SEGMENTS, BIAS, weights=True))
    x = X
    for n in range(L):
        x, a = layer(one(params, n), x)
        np.testing.assert_allclose(x, expected.states[n + 1], atol=1e-6)
        np.testing.assert_allclose(a, expected.attention[n], atol=1e-6)


def pruned(params, config, kept):
    """Parameters and config without the other heads."""
    layers = []
    for n, heads in enumerate(kept):
        layer, heads = one(params, n), jnp.array(heads, jnp.int32)
        attention = dict(layer["attention"])
        for part in ("query", "key", "value"):
            attention[part] = {"kernel": attention[part]["kernel"][:, heads], "bias": attention[part]["bias"][heads]}
        attention["output"] = attention["output"] | {"kernel": attention["output"]["kernel"][heads]}
        layers.append(layer | {"attention": attention})
    config = dataclasses.replace(config, kept=kept)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers) if config.equal else tuple(layers)
    return params | {"layers": stacked}, config


@pytest.mark.parametrize(("kept", "form"), [
    (((0, 2), (1, 2)), "post"), (((2,), (0, 1, 2)), "pre, causal"), (((), (1,)), "post")
])
def test_pruned_heads_are_masked_heads(kept, form):
    params, config = drawn(FORMS[form]), FORMS[form]
    mask = jnp.array([[float(h in heads) for h in range(H)] for heads in kept])
    whole = apply(
        params, config, X, SEGMENTS, bias=BIAS, head_mask=mask, outputs=ALL
    )
    fewer, less = pruned(params, config, kept)
    got = apply(fewer, less, X, SEGMENTS, bias=BIAS, outputs=ALL)
    np.testing.assert_allclose(got.states, whole.states, atol=1e-5)
    for n, heads in enumerate(kept):
        np.testing.assert_allclose(got.attention[n], whole.attention[n][:, list(heads)], atol=1e-6)
    masks = tuple(jnp.full(len(heads), 0.5) for heads in kept)
    got = apply(fewer, less, X, SEGMENTS, bias=BIAS, head_mask=jnp.stack(masks) if less.equal else masks)
    half = apply(params, config, X, SEGMENTS, bias=BIAS, head_mask=mask / 2)
    np.testing.assert_allclose(got.hidden, half.hidden, atol=1e-5)
    shapes = jax.eval_shape(lambda: transformer.init(jax.random.key(0), less))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, fewer)


@pytest.mark.parametrize("kept", [
    (), pytest.param(((0,), (1, 2)), marks=pytest.mark.slow)], ids=["scanned", "unrolled"])
def test_frozen_layers_and_what_is_computed_again(kept):
    """The same output and the same gradients, but for frozen layers, which get none."""
    config = dataclasses.replace(SMALL, kept=kept, attention_dropout=0.0, dropout=0.0)
    params, key = drawn(config), row_keys(jax.random.key(8), B)

    @functools.partial(jax.jit, static_argnames=("config", "frozen"))
    def slopes(given, config, frozen=0):
        def loss(given):
            out = transformer.apply(given[0], config, given[1], SEGMENTS, frozen=frozen, key=key)
            return jnp.sum(out.hidden[:, :, 0] ** 2)

        return jax.value_and_grad(loss)(given)

    def close(got, expected):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), got, expected)

    value, (gradient, below) = slopes((params, X), config)
    close(slopes((params, X), dataclasses.replace(config, remat=True)), (value, (gradient, below)))
    held, (some, untouched) = slopes((params, X), config, 1)
    close((held, one(some, 1)), (value, one(gradient, 1)))
    assert not any(map(np.any, jax.tree.leaves(one(some, 0)))) and not np.any(untouched) and np.any(below)


def test_padding_and_other_texts_of_a_row_change_nothing():
    params, draw = drawn(SMALL), jax.random.split(jax.random.key(5), 3)
    texts = [jax.random.normal(k, (1, n, D)) for k, n in zip(draw, (3, 3, 4), strict=True)]
    alone = [apply(params, SMALL, t, jnp.ones(t.shape[:2], jnp.int32)).hidden for t in texts]
    row = jnp.concatenate([*texts, jnp.full((1, 3, D), 7.0)], axis=1)
    packed = apply(params, SMALL, row, jnp.array([[1] * 3 + [2] * 3 + [3] * 4 + [0] * 3])).hidden
    np.testing.assert_allclose(packed[:, :10], jnp.concatenate(alone, axis=1), atol=1e-6)


def test_a_causal_stack_sees_nothing_that_comes_after():
    config = FORMS["pre, causal"]
    params, segments = drawn(config), jnp.ones((B, T), jnp.int32)
    before = apply(params, config, X, segments).hidden
    after = apply(params, config, X.at[:, 3:].multiply(jnp.arange(D)), segments).hidden
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.abs(before[:, 3:] - after[:, 3:]).min() > 1e-6


@pytest.mark.parametrize("implementation", ["xla", "rows"])
def test_dropout_belongs_to_the_row(implementation):
    config, params = dataclasses.replace(SMALL, implementation=implementation), drawn(SMALL)
    segments, keys = jnp.ones((B, T), jnp.int32), row_keys(jax.random.key(1), B)
    whole = apply(params, config, X, segments, key=keys).hidden
    np.testing.assert_allclose(apply(params, config, X[1:], segments[1:], key=keys[1:]).hidden, whole[1:], atol=1e-5)
    for other in (None, keys[::-1]):
        assert np.abs(apply(params, config, X, segments, key=other).hidden - whole).max() > 0.1


def test_products_in_bfloat16():
    params = drawn(SMALL)
    exact = apply(params, SMALL, X, SEGMENTS).hidden
    low = apply(params, dataclasses.replace(SMALL, dtype="bfloat16"), X, SEGMENTS).hidden
    assert low.dtype == jnp.float32
    assert 1e-5 < np.abs(low - exact).max() < 0.1


def test_parameters_start_as_told():
    params = transformer.init(jax.random.key(0), dataclasses.replace(SMALL, width=64, deviation=0.02))
    kernels = params["layers"]["feed_forward"]["input"]["kernel"]
    assert np.std(kernels) == pytest.approx(0.02, rel=0.1)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01, "each layer has numbers of its own"
    assert "norm" not in params and not np.any(params["layers"]["attention"]["query"]["bias"])


def of_torch(module, config, cross):
    """Our parameters of torch's encoder or decoder."""
    found = {name: np.asarray(p.detach()) for name, p in module.named_parameters()}
    H, K, D = config.heads, config.head_width, config.width

    def normed(name):
        return {"scale": found[f"{name}.weight"], "bias": found[f"{name}.bias"]}

    def linear(name):
        return {"kernel": found[f"{name}.weight"].T, "bias": found[f"{name}.bias"]}

    def attended(name):
        parts = zip(("query", "key", "value"), np.split(found[f"{name}.in_proj_weight"], 3),
                    np.split(found[f"{name}.in_proj_bias"], 3), strict=True)
        out = {part: {"kernel": w.T.reshape(D, H, K), "bias": b.reshape(H, K)} for part, w, b in parts}
        merged = linear(f"{name}.out_proj")
        return out | {"output": merged | {"kernel": merged["kernel"].reshape(H, K, D)}}

    layers = []
    for n in range(config.layers):
        at, last = f"layers.{n}.", "norm3" if cross else "norm2"
        layer = {"attention": attended(f"{at}self_attn"), "attention_norm": normed(f"{at}norm1"),
                 "feed_forward": {"input": linear(f"{at}linear1"), "output": linear(f"{at}linear2")},
                 "feed_forward_norm": normed(at + last)}
        if cross:
            layer |= {"cross": attended(f"{at}multihead_attn"), "cross_norm": normed(f"{at}norm2")}
        layers.append(layer)
    return jax.tree.map(jnp.asarray, {"layers": jax.tree.map(lambda *leaves: np.stack(leaves), *layers),
                                      "norm": normed("norm")})


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_encoder_and_decoder_are_torchs(norm):
    """torch.nn.Transformer with the same weights, padding in the source, the target causal."""
    import torch

    torch.manual_seed(0)
    theirs = torch.nn.Transformer(16, 4, 3, 3, 24, dropout=0.0, batch_first=True, norm_first=norm == "pre").eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(0, 0.3)
    draw, there = np.random.default_rng(0), np.arange(7) < np.array([7, 4])[:, None]
    source, target = (draw.normal(size=(2, n, 16)).astype(np.float32) for n in (7, 5))
    with torch.no_grad():
        hidden = torch.tensor(~there)
        expected = theirs(torch.tensor(source), torch.tensor(target), src_key_padding_mask=hidden,
                          memory_key_padding_mask=hidden, tgt_is_causal=True,
                          tgt_mask=torch.triu(torch.ones(5, 5, dtype=bool), 1)).numpy()
    encoder = Config(3, 16, 4, 4, 24, "relu", norm, True, 1e-5)
    decoder = dataclasses.replace(encoder, causal=True, cross=True)
    seen, ones = jnp.asarray(there, jnp.int32), jnp.ones((2, 5), jnp.int32)
    states = apply(of_torch(theirs.encoder, encoder, False), encoder, jnp.asarray(source), seen).hidden
    got = apply(of_torch(theirs.decoder, decoder, True), decoder, jnp.asarray(target), ones, memory=(states, seen))
    assert np.abs(got.hidden - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
