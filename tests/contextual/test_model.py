"""Contextual models in use: what a text's vector is made of, and that nothing else changes it."""
import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer as plain
import pytest
import small

from embeddings.contextual import folder as folders
from embeddings.contextual import model as module
from embeddings.contextual.model import Contextual
from embeddings.contextual.texts import CutText
from embeddings.formats.families import FAMILIES
from embeddings.formats.sentence_transformers import Dense, Normalize, Pipeline
from embeddings.models.layers import distance_bias
from embeddings.models.pooling import POOLINGS
from embeddings.problems import Problem, UsageProblem

SHORT = [text for text in small.TEXTS if len(text) < 60]
"""Those that are read whole."""
STEPS = (Dense(np.linspace(-1, 1, 80).reshape(16, 5).astype(np.float32), np.ones(5, np.float32), "tanh"), Normalize())


@pytest.fixture(scope="module", params=["bert", "mpnet", "gpt2"])
def model(request, tmp_path_factory):
    return small.contextual(tmp_path_factory.mktemp("tokenizer"), request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return small.contextual(tmp_path_factory.mktemp("tokenizer"))


def alone(model, text, layer=-1, head_mask=None):
    """States of the tokens of one text, by loops over the definition, in float64."""
    params, config = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model.params), model.config
    ids = model.tokenizer.encode([text]).ids
    x = params["words"][ids] + params["positions"][np.arange(len(ids)) + getattr(config, "first_position", 0)]
    if model.family != "gpt2":
        x = plain.norm(x + params.get("types", np.zeros((1, 1)))[0], params["norm"], config.stack.epsilon)
    bias = None
    if "distances" in params:
        bias = np.asarray(distance_bias(jnp.asarray(model.params["distances"]), len(ids)), np.float64)
    layers = [jax.tree.map(lambda leaf, n=n: leaf[n], params["transformer"]["layers"]) for n in range(2)]
    ones = np.ones(len(ids), int)
    return plain.stack(x, layers, params["transformer"].get("norm"), config.stack, ones, bias, head_mask)[0][layer]


def test_a_text_is_the_mean_of_its_tokens_states(model):
    got = model.encode(SHORT)
    assert got.shape == (len(SHORT), 16) and got.dtype == np.float32 and model.width == 16
    for vector, text in zip(got, SHORT, strict=True):
        states = alone(model, text)
        expected = states.mean(axis=0) if len(states) else np.zeros(16)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    np.testing.assert_array_equal(model.encode("one"), model.encode(["one"]))
    assert model.encode([]).shape == (0, 16)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
@pytest.mark.parametrize("family", ["bert", "mpnet", "gpt2"])
def test_a_gpu_gives_what_the_processor_gives(family, dtype, tolerance, tmp_path):
    """Heads are as wide as its kernel takes; the processor computes in float32."""
    config = small.CONFIGS[family]
    stack = dataclasses.replace(config.stack, width=32, head_width=8)
    config, pieces = dataclasses.replace(config, stack=stack), small.tokenizer(tmp_path)
    params = small.drawn(family, config)
    shorter = dataclasses.replace(config, stack=dataclasses.replace(stack, dtype=dtype))
    want = folders.in_use(family, config, params, pieces, tuple(jax.devices("cpu")[:1])).encode(SHORT)
    got = folders.in_use(family, shorter, params, pieces, tuple(jax.devices("gpu")[:1])).encode(SHORT)
    assert np.linalg.norm(got - want) < tolerance * np.linalg.norm(want)


def test_texts_that_are_cut_into_tokens_while_others_are_read_have_the_same_vectors(bert, monkeypatch):
    whole = bert.encode(small.TEXTS, windows=2)
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", {"cpu": 2})
    np.testing.assert_allclose(bert.encode(small.TEXTS, windows=2), whole, atol=1e-6)
    with pytest.raises(UsageProblem, match="cannot overlap"):
        bert.encode(small.TEXTS, windows=100)


def test_nothing_beside_a_text_changes_its_vector(model):
    """Neither its place, nor the texts beside it, nor how many are read at a time, nor devices."""
    texts = SHORT * 3
    whole = model.encode(texts)
    alone = np.concatenate([model.encode(text) for text in SHORT])
    np.testing.assert_allclose(whole, np.tile(alone, (3, 1)), atol=1e-6)
    np.testing.assert_allclose(model.encode(texts[::-1]), whole[::-1], atol=1e-6)
    np.testing.assert_allclose(model.encode(texts, batch_size=3), whole, atol=1e-6)


def test_devices_change_nothing(bert):
    several = dataclasses.replace(bert, devices=tuple(jax.devices()[:3]))
    np.testing.assert_allclose(several.encode(SHORT), bert.encode(SHORT), atol=1e-6)


def test_rows_of_other_lengths_change_nothing(bert, monkeypatch):
    from embeddings.contextual.packing import Packer

    expected = bert.encode(SHORT)
    monkeypatch.setattr(Contextual, "packer", lambda self, batch_size=None: Packer((12, 96), 192))
    np.testing.assert_allclose(bert.encode(SHORT), expected, atol=1e-6)


def test_poolings_side_by_side(bert):
    h = alone(bert, SHORT[0])
    place = np.arange(1, len(h) + 1)[:, None]
    expected = {"cls": h[0], "max": h.max(axis=0), "mean": h.mean(axis=0), "lasttoken": h[-1],
                "mean_sqrt_len_tokens": h.sum(axis=0) / len(h) ** 0.5, "weightedmean": (place * h).sum(0) / place.sum()}
    got = bert.encode(SHORT[0], pooling=POOLINGS)[0]
    np.testing.assert_allclose(got, np.concatenate([expected[name] for name in POOLINGS]), atol=1e-5)


def test_layers_and_lengths_that_are_asked_for(bert):
    text = SHORT[2]
    for layer in (0, 1, 2, -1):
        h = alone(bert, text, layer)
        np.testing.assert_allclose(bert.encode(text, layer=layer)[0], h.mean(axis=0), atol=1e-5)
    cut = bert.encode(text, truncate_dim=4, normalize=True)[0]
    np.testing.assert_allclose(cut, h.mean(axis=0)[:4] / np.linalg.norm(h.mean(axis=0)[:4]), atol=1e-5)
    np.testing.assert_allclose(bert.encode(text, truncate_dim=4)[0], h.mean(axis=0)[:4], atol=1e-5)


def test_a_layer_before_the_last_knows_no_last_norm(tmp_path):
    model = small.contextual(tmp_path, "gpt2")
    h = alone(model, SHORT[0], 1)
    np.testing.assert_allclose(model.encode(SHORT[0], layer=1)[0], h.mean(axis=0), atol=1e-5)


def test_steps_after_pooling(bert):
    model = dataclasses.replace(bert, pipeline=Pipeline(("cls",), STEPS))
    y = np.tanh(alone(bert, SHORT[0])[0] @ STEPS[0].kernel + 1)
    np.testing.assert_allclose(model.encode(SHORT[0])[0], y / np.linalg.norm(y), atol=1e-5)
    np.testing.assert_allclose(model.encode(SHORT[0], normalize=False)[0], y, atol=1e-5)
    assert model.width == 5 and model.encode([]).shape == (0, 5)
    h = alone(bert, SHORT[0], 1)[0]  # linear maps are made for the last layer
    np.testing.assert_allclose(model.encode(SHORT[0], layer=1)[0], h / np.linalg.norm(h), atol=1e-5)


def test_prompts(bert):
    pipeline = Pipeline(prompts={"query": "find one : ", "passage": ""}, prompt="query")
    model = dataclasses.replace(bert, pipeline=pipeline)
    expected = bert.encode("find one : the river")
    np.testing.assert_array_equal(model.encode("the river"), expected)
    np.testing.assert_array_equal(model.encode("the river", prompt_name="query"), expected)
    np.testing.assert_array_equal(model.encode("the river", prompt="find one : "), expected)
    np.testing.assert_array_equal(model.encode("the river", prompt_name="passage"), bert.encode("the river"))
    with pytest.raises(UsageProblem, match="no prompt 'x': the model has query, passage; or give"):
        model.encode("one", prompt_name="x")
    left_out = dataclasses.replace(bert, pipeline=dataclasses.replace(pipeline, prompt_counts=False))
    states = alone(bert, "find one : the river")
    np.testing.assert_allclose(left_out.encode("the river")[0], states[-3:].mean(axis=0), atol=1e-5)


def test_long_texts_are_cut_and_counted_or_read_in_windows(bert):
    words = ["one", "two", "three", "four", "five"] * 12
    text = " ".join(words)
    with pytest.warns(CutText, match="^1 of 2 texts have more than 24 tokens: their beginning was read$"):
        cut = bert.encode([text, "one"])
    first = " ".join(words[:22])
    np.testing.assert_allclose(cut[0], bert.encode(first)[0], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = bert.encode([text, "one"], windows=4)
    parts = [words[at : at + 22] for at in range(0, 60, 18) if at == 0 or at + 4 < 60]
    assert len(parts) == 4 and parts[-1][-1] == words[-1]
    each = bert.encode([" ".join(part) for part in parts])
    weight = np.array([len(part) + 2 for part in parts])
    np.testing.assert_allclose(got[0], (weight[:, None] * each).sum(axis=0) / weight.sum(), atol=1e-5)
    np.testing.assert_allclose(got[1], bert.encode("one")[0], atol=1e-6)
    unit = dataclasses.replace(bert, pipeline=Pipeline(steps=(Normalize(),))).encode(text, windows=4)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    with pytest.raises(UsageProblem, match="windows of 22 tokens cannot overlap by 22: choose 0 to 21"):
        bert.encode(text, windows=22)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_tokens_attention_and_head_masks(family, tmp_path):
    model, text = small.contextual(tmp_path, family), "the bank of the Rivers, one"
    found, mask = model.tokens(text, layer="all"), np.array([[1, 0, 1, 0.5], [0, 1, 1, 1]], np.float32)
    expected = np.stack([alone(model, text, layer) for layer in range(3)])
    np.testing.assert_allclose(found.vectors, expected, atol=1e-5)
    words = [text[a:b] for a, b in found.offsets if b > a]
    assert words == ["the", "bank", "of", "the", "River", "s", ",", "one"]
    assert [found.tokens[n] for n in (-2, -1)] == ["one", "[SEP]"]
    masked = alone(model, text, head_mask=mask)
    both = model.tokens([text, "one"], head_mask=mask)
    np.testing.assert_allclose(both[0].vectors, masked, atol=1e-5)
    np.testing.assert_allclose(model.encode(text, head_mask=mask)[0], masked.mean(axis=0), atol=1e-5)
    weights, N = model.attention(text), len(found.ids)
    assert weights.shape == (2, 4, N, N)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    assert family != "gpt2" or not np.triu(weights, 1).any()


def test_masks_are_filled(bert):
    text = "the [MASK] of the [MASK]"
    ids = bert.tokenizer.encode([text]).ids
    params = jax.tree.map(jnp.asarray, bert.params)
    table = np.asarray(FAMILIES["bert"].model.logits(params, bert.config, jnp.float32(alone(bert, text))))
    p = np.exp(table - table.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    found = bert.fill(text, k=3)
    for place, best in zip(np.flatnonzero(ids == bert.tokenizer.mask), found, strict=True):
        order = np.argsort(-p[place])[:3]
        assert [word for word, _ in best] == [small.TOKENS[i] for i in order]
        np.testing.assert_allclose([share for _, share in best], p[place][order], rtol=1e-4)
    with pytest.raises(UsageProblem, match=r"no \[MASK\] in the first 24 tokens"):
        bert.fill("the bank")


@pytest.mark.parametrize(("arguments", "says", "kind"), [
    ({"texts": "one", "layer": 3}, r"layer 3: there are 0 \(what goes into the first\) to 2", UsageProblem),
    ({"texts": "one", "layer": -4}, "layer -4: there are 0", UsageProblem),
])
def test_what_is_refused(bert, arguments, says, kind):
    with pytest.raises(kind, match=says) as problem:
        bert.encode(**arguments)
    assert "\n" not in str(problem.value)


def test_a_model_without_a_head_fills_nothing(tmp_path):
    with pytest.raises(Problem, match="does not predict masked words"):
        small.contextual(tmp_path, "gpt2").fill("the [MASK]")


def test_progress_is_told(bert, capsys):
    bert.encode(SHORT * 50, show_progress_bar=True)
    assert "encoding: 100 %" in capsys.readouterr().err
