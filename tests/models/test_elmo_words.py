"""ELMo below a head: beside the model itself on each text alone, and its mixture's gradient beside differences."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from embeddings.contextual import words
from embeddings.contextual.elmo import Elmo
from embeddings.inputs.packing import laid, pack
from embeddings.inputs.sequences import Tokens
from embeddings.models import character_cnn, elmo, elmo_words, sentence_bert
from embeddings.models.pooling import POOLINGS
from embeddings.tokenizers.words import Words

TEXTS = ["the bank of the river", "one", "", "the bank and its money the banks money", "river banks", "unbelievably"]
MIX = elmo.Mix(jnp.array([0.5, -1.0, 0.25]), jnp.float32(1.5))


@pytest.fixture(scope="module")
def model():
    return Elmo(small.ELMO, small.elmo_params(), Words(lower=False), MIX, tuple(jax.devices()[:1]))


@pytest.fixture(scope="module")
def start(model):
    return words.of_elmo(model, TEXTS)


def rows(start, length=16):
    """The texts packed into rows, and where each word is."""
    read = start.tokenizer.encode(TEXTS)
    packed = pack(read.lengths, (length,))
    shape = len(packed.lengths), length
    tokens = Tokens(*map(jnp.asarray, laid(packed, read.lengths, shape, read.ids, read.types)))
    return tokens, list(zip(packed.row, packed.slot + 1, strict=True))


apply = functools.partial(jax.jit, static_argnums=1)(elmo_words.apply)


def test_states_in_rows_are_those_of_each_text_alone(model, start):
    tokens, places = rows(start)
    assert len(tokens.ids) < len(TEXTS)
    hidden = np.asarray(apply(start.params, start.config, tokens).hidden)
    cut = [model.tokenizer.split(text) for text in TEXTS]
    for (row, segment), vectors in zip(places, model.states(cut, layer=None), strict=True):
        found = hidden[row][tokens.segments[row] == segment]
        np.testing.assert_allclose(found[1:-1], vectors, atol=1e-5)
        assert len(found) == len(vectors) + 2
    assert not hidden[tokens.segments == 0].any()
    inside = np.asarray(elmo_words.inside(tokens))
    assert inside.sum() == sum(map(len, cut)) and not inside[tokens.segments == 0].any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_texts_are_pooled_as_in_use(model, start, pooling):
    tokens, places = rows(start)
    config = sentence_bert.Config(start.config, (pooling,))
    params = {"model": jax.tree.map(jnp.asarray, start.params), "steps": []}
    made = np.asarray(sentence_bert.apply(params, config, tokens, tokens.segments, 4))
    known = [number for number, text in enumerate(TEXTS) if text]
    want = model.encode([TEXTS[number] for number in known], pooling=pooling)
    np.testing.assert_allclose([made[places[n][0], places[n][1] - 1] for n in known], want, atol=1e-5)
    empty = places[TEXTS.index("")]
    assert not made[empty[0], empty[1] - 1].any()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_one_layer_is_read_as_it_is(model, layer):
    """Whatever mixture the model came with."""
    start = words.of_elmo(model, TEXTS, layer)
    tokens, _ = rows(start)
    params = jax.tree.map(jnp.asarray, start.params)
    own = character_cnn.apply(params["characters"], model.config.characters,
                              jnp.asarray(start.config.spelling.table)[tokens.ids], "float32")
    states = elmo.contextual(params["lstm"], model.config, own, tokens.segments, outputs={elmo.STATES}).states
    found = apply(params, start.config, tokens).hidden
    np.testing.assert_allclose(found, states[layer], atol=1e-5)
    assert np.abs(states[layer] - states[layer - 1]).max() > 0.1
    assert jax.nn.softmax(start.params["mix"]["weights"]).tolist() == [float(n == layer) for n in range(3)]


def test_the_gradient_of_the_mixture_is_that_of_differences(start):
    tokens, _ = rows(start)
    weight = np.random.default_rng(1).normal(size=(*tokens.ids.shape, 12))

    def loss(mix):
        return jnp.sum(apply({**start.params, "mix": mix}, start.config, tokens).hidden * weight)

    mix = jax.tree.map(jnp.asarray, start.params["mix"])
    gradient = jax.grad(loss)(mix)
    for name, at in (("weights", 0), ("weights", 1), ("weights", 2), ("scale", ())):
        up, down = ({**mix, name: jnp.asarray(mix[name]).at[at].add(step)} for step in (1e-2, -1e-2))
        np.testing.assert_allclose(gradient[name][at], (loss(up) - loss(down)) / 2e-2, rtol=5e-3, atol=5e-3)


def test_a_row_drops_the_same_whatever_stands_beside_it(start):
    tokens, _ = rows(start)
    config, keys = start.config.retrained(0.3, "float32"), jax.random.split(jax.random.key(3), len(tokens.ids))
    whole = apply(start.params, config, tokens, key=keys).hidden
    one = apply(start.params, config, Tokens(*(array[1:2] for array in tokens)), key=keys[1:2]).hidden
    np.testing.assert_allclose(one[0], whole[1], atol=1e-6)
    there = np.asarray(tokens.segments) > 0
    assert 0.2 < (np.asarray(whole)[there] == 0).mean() < 0.4
    plain = dataclasses.replace(config, elmo=dataclasses.replace(config.elmo, dropout=0.0))
    np.testing.assert_array_equal(
        apply(start.params, plain, tokens, key=keys).hidden, apply(start.params, config, tokens).hidden)


def test_it_begins_with_its_layers_in_equal_parts():
    config = elmo_words.Config(small.ELMO)
    params = elmo_words.init(jax.random.key(0), config)
    assert params["mix"]["weights"].tolist() == [0, 0, 0] and params["mix"]["scale"] == 1
    assert config.stack.width == 12 and config.stack.layers == 0 and not config.is_transformer
