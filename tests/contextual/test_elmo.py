"""Texts in, vectors of words in context out."""
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.contextual import elmo as contextual
from embeddings.contextual.elmo import Elmo
from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.problems import Problem
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.tokenizers.words import Words

CONFIG = elmo.Config(
    character_cnn.Config(width=3, filters=((1, 4), (2, 5)), highways=1, longest=8), width=6, cells=10, layers=2
)
TEXTS = ["The bank of the river.", "One", "the bank, and its money: the bank's money!", "the river bank"]


@pytest.fixture(scope="module")
def model():
    shapes = jax.eval_shape(lambda: elmo.init(jax.random.key(0), CONFIG))
    rng = np.random.default_rng(0)
    return Elmo(CONFIG, jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=0.5), jnp.float32), shapes))


@functools.partial(jax.jit, static_argnums=1)
def apply(params, config, batch):
    return elmo.apply(params, config, batch, outputs={elmo.STATES}).states


def alone(model, words):
    """All layers of one sentence, by the model itself."""
    ids, T = Characters(CONFIG.characters.longest).ids([BEGIN, *words, END]), len(words) + 2
    characters = jnp.asarray(np.pad(ids, ((0, 16 - T), (0, 0))))[None]
    states = apply(model.params, CONFIG, elmo.Batch(characters, jnp.any(characters > 0, axis=2).astype(jnp.int32)))
    return np.asarray(states)[:, 0, 1 : T - 1]


def test_states_are_those_of_each_sentence_alone_whatever_stands_beside_it(model):
    cut = [Words(lower=False).split(text) for text in TEXTS]
    want = [alone(model, words) for words in cut]
    for given in (TEXTS, cut, [TEXTS[0], *cut[1:]]):
        found = list(model.states(given))
        for states, expected, words in zip(found, want, cut, strict=True):
            assert states.shape == (3, len(words), 12) and np.abs(states - expected).max() <= 1e-6
    turned = list(model.states(TEXTS[::-1] * 40))
    assert max(np.abs(a - want[3 - n % 4]).max() for n, a in enumerate(turned)) <= 1e-6


def test_a_text_is_the_mean_or_the_maximum_of_its_words(model):
    states = list(model.states(TEXTS))
    mixture = elmo.Mix(jnp.array([1.0, -1.0, 0.5]), jnp.float32(2.0))
    mixed = dataclasses.replace(model, mixture=mixture)
    s = np.exp([1.0, -1.0, 0.5]) / np.exp([1.0, -1.0, 0.5]).sum()
    cases = [
        (model.encode(TEXTS), [x.mean(0).mean(0) for x in states]),
        (mixed.encode(TEXTS), [np.tensordot(2 * s, x, 1).mean(0) for x in states]),
        (model.encode(TEXTS, layer=0), [x[0].mean(0) for x in states]),
        (model.encode(TEXTS, layer=-1, pooling="max"), [x[2].max(0) for x in states]),
    ]
    for found, want in cases:
        np.testing.assert_allclose(found, want, atol=2e-6)
    assert np.abs(model.encode(TEXTS[1]) - cases[0][0][1:2]).max() <= 1e-6
    assert model.encode([]).shape == model.encode([], pooling="max").shape == (0, 12)


def test_words_known_beforehand_change_nothing(model):
    knowing = model.knowing(["the", "bank", "The", "bank", BEGIN])
    assert len(knowing.known) == 4 and knowing.table.shape == (4, 6)
    assert np.abs(knowing.encode(TEXTS) - model.encode(TEXTS)).max() <= 1e-6
    blind = dataclasses.replace(knowing, params={**model.params, "characters": None})
    words = ["the", "bank", "The"]
    everything = dataclasses.replace(blind, known={**knowing.known, END: 4}, table=np.vstack(
        [knowing.table, model.knowing([END]).table]
    ))
    assert np.abs(everything.encode([words]) - model.encode([words])).max() <= 1e-6  # no characters were read


def test_tokens_stand_where_they_say(model):
    text = "Naïve — the «bank», \n2× 𝕏y the\ud800bank"
    for tokenizer in (Words(lower=False), Words("whitespace", lower=False), Words()):
        found = dataclasses.replace(model, tokenizer=tokenizer).tokens(text, layer=1)
        where = [text[first:last] for first, last in found.offsets]
        replaced = [word.encode("utf-8", "replace").decode() for word in where]
        assert [word.lower() if tokenizer.lower else word for word in replaced] == list(found.words)
        assert found.words == tuple(tokenizer.split(text)) and (found.states[1] == found.vectors).all()
        assert found.vectors.shape == (len(found.words), 12)
    assert model.tokens(["a", "list"]).offsets is None
    mixed = model.tokens(TEXTS[0])
    np.testing.assert_allclose(mixed.vectors, mixed.states.mean(0), atol=1e-6)


def test_long_texts_are_read_in_pieces(model, monkeypatch):
    monkeypatch.setattr(contextual, "LONGEST", 5)
    words = "one two three four five six seven eight nine ten eleven twelve".split()
    want = np.concatenate([alone(model, words[at : at + 5]) for at in (0, 5, 10)], axis=1)
    found = next(model.states([words]))
    assert np.abs(found - want).max() <= 1e-6
    np.testing.assert_allclose(model.encode([words, words[:2]], layer=2)[0], want[2].mean(0), atol=1e-6)
    np.testing.assert_allclose(model.encode([words], layer=2, pooling="max")[0], want[2].max(0), atol=1e-6)


def test_calls_have_few_shapes_and_hold_every_sentence_once():
    lengths = np.random.default_rng(0).integers(3, 400, 1000).tolist()
    calls = list(contextual._calls(lengths))
    assert sorted(member for members, _ in calls for member in members) == list(range(1000))
    for members, (B, T) in calls:
        assert len(members) <= B and max(lengths[member] for member in members) <= T and B * T <= contextual.PLACES
    assert len({shape for _, shape in calls}) <= 12
    assert list(contextual._calls([7])) == [([0], (1, 16))]


@pytest.mark.parametrize(("texts", "complaint"), [
    (["fine", 3], "text 1 is a int, not a string or a list of words: 3"),
    ([["fine", None]], "text 0 is a list, not a string or a list of words: ['fine', None]"),
    (["fine", " ... "], "text 1 has no words: leave it out: ' ... '"),
    ([[]], "text 0 has no words: leave it out: []"),
])
def test_texts_that_cannot_be_read_are_named(model, texts, complaint):
    for ask in (lambda: model.encode(texts), lambda: list(model.states(texts))):
        with pytest.raises(Problem, match=re.escape(complaint)):
            ask()


def test_layers_that_are_not_there_are_named(model):
    for layer in (3, -4):
        with pytest.raises(Problem, match=re.escape(f"layer {layer}: there are layers 0 to 2")):
            model.encode("text", layer=layer)


def test_a_folder_opens(tmp_path, model):
    files.write(tmp_path, CONFIG, jax.tree.map(np.asarray, model.params))
    for words in ((), ["the", "bank"]):
        assert np.abs(contextual.load(tmp_path, words).encode(TEXTS) - model.encode(TEXTS)).max() <= 1e-6


def test_bfloat16_is_near(model):
    rough = dataclasses.replace(model, config=dataclasses.replace(CONFIG, dtype="bfloat16"))
    exact, found = model.encode(TEXTS), rough.encode(TEXTS)
    assert found.dtype == np.float32
    assert 1e-4 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 3e-2
