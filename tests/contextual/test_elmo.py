"""Texts in, vectors of words in context out."""
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import encoder
from embeddings.contextual import elmo as contextual
from embeddings.contextual import sentences
from embeddings.contextual.elmo import Elmo
from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.problems import Problem, UsageProblem
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
    params = jax.tree.map(lambda a: rng.normal(size=a.shape, scale=0.5).astype(np.float32), shapes)
    return Elmo(CONFIG, params, devices=tuple(jax.devices()[:1]))


@functools.partial(jax.jit, static_argnums=1)
def apply(params, config, batch):
    return elmo.apply(params, config, batch, outputs={elmo.STATES}).states


def alone(model, words):
    """All layers of one sentence, by the model itself."""
    ids, T = Characters(CONFIG.characters.longest).ids([BEGIN, *words, END]), len(words) + 2
    characters = jnp.asarray(np.pad(ids, ((0, 16 - T), (0, 0))))[None]
    batch = elmo.Batch(characters, jnp.any(characters > 0, axis=2).astype(jnp.int32))
    states = apply(jax.tree.map(jnp.asarray, model.params), CONFIG, batch)
    return np.asarray(states)[:, 0, 1 : T - 1]


def test_states_are_those_of_each_sentence_alone_whatever_stands_beside_it(model):
    cut = [Words(lower=False).split(text) for text in TEXTS]
    want = [alone(model, words) for words in cut]
    for states, expected, words in zip(model.states(cut), want, cut, strict=True):
        assert states.shape == (3, len(words), 12) and np.abs(states - expected).max() <= 1e-6
    turned = list(model.states(cut[::-1] * 2))
    assert max(np.abs(a - want[3 - n % 4]).max() for n, a in enumerate(turned)) <= 1e-6


def test_a_text_is_made_of_its_words(model):
    states = [found.vectors for found in model.tokens(TEXTS, layer="all")]
    mixed = dataclasses.replace(model, mixture=elmo.Mix(jnp.array([1.0, -1.0, 0.5]), jnp.float32(2.0)))
    s = np.exp([1.0, -1.0, 0.5]) / np.exp([1.0, -1.0, 0.5]).sum()
    first = model.encode(TEXTS)
    cases = [
        (first, [x.mean(0).mean(0) for x in states]),
        (mixed.encode(TEXTS), [np.tensordot(2 * s, x, 1).mean(0) for x in states]),
        (model.encode(TEXTS, layer=-1, pooling="weightedmean"),
         [np.average(x[2], axis=0, weights=np.arange(len(x[2])) + 1) for x in states]),
        (model.encode(TEXTS, truncate_dim=7, normalize=True),
         first[:, :7] / np.linalg.norm(first[:, :7], axis=1)[:, None]),
    ]
    for found, want in cases:
        np.testing.assert_allclose(found, want, atol=2e-6)
    assert np.abs(model.encode(TEXTS[1]) - first[1:2]).max() <= 1e-6
    assert model.encode([]).shape == (0, 12) and model.tokens([]) == []


def test_eight_devices_give_what_one_gives(model):
    eight = dataclasses.replace(model, devices=tuple(jax.devices()[:8]))
    assert eight.mesh.size == 8
    assert np.abs(eight.encode(TEXTS * 3) - model.encode(TEXTS * 3)).max() <= 1e-6


def test_words_known_beforehand_change_nothing(model):
    words = ["the", "bank", "The", "bank", BEGIN, END]
    knowing = model.knowing(words)
    assert len(knowing.known) == 5 and knowing.table.shape == (5, 6)
    assert np.abs(knowing.encode(TEXTS) - model.encode(TEXTS)).max() <= 1e-6
    blind = dataclasses.replace(knowing, params={**model.params, "characters": None})  # it reads no characters
    assert np.abs(blind.encode("the bank") - model.encode("the bank")).max() <= 1e-6


def test_tokens_stand_where_they_say(model):
    text = "Naïve — the «bank», \n2× 𝕏y the\ud800bank"
    for tokenizer in (Words(lower=False), Words("whitespace", lower=False), Words()):
        found = dataclasses.replace(model, tokenizer=tokenizer).tokens(text, layer=1)
        where = [text[first:last].encode("utf-8", "replace").decode() for first, last in found.offsets]
        assert [word.lower() if tokenizer.lower else word for word in where] == list(found.tokens)
        assert found.tokens == tuple(tokenizer.split(text)) and found.vectors.shape == (len(found.tokens), 12)
    mixed, everything = (model.tokens(TEXTS[0], layer=layer).vectors for layer in (None, "all"))
    np.testing.assert_allclose(mixed, everything.mean(0), atol=1e-6)


def test_long_texts_are_read_in_pieces(model, monkeypatch):
    monkeypatch.setattr(sentences, "LONGEST", 5)
    words = "one two three four five six seven eight nine ten eleven twelve".split()
    want = np.concatenate([alone(model, words[at : at + 5]) for at in (0, 5, 10)], axis=1)
    assert np.abs(next(model.states([words])) - want).max() <= 1e-6
    assert np.abs(next(model.states([words], layer=2)) - want[2]).max() <= 1e-6
    found = model.encode([" ".join(words), "one two"], layer=2)
    np.testing.assert_allclose(found, [want[2].mean(0), alone(model, words[:2])[2].mean(0)], atol=1e-6)


@pytest.mark.parametrize("devices", [1, 3])
def test_calls_have_few_shapes_and_hold_every_sentence_once(devices):
    lengths = np.random.default_rng(0).integers(3, 400, 1000).tolist()
    calls = list(sentences.calls(lengths, devices))
    assert sorted(member for members, _ in calls for member in members) == list(range(1000))
    for members, (B, T) in calls:
        assert len(members) <= B and max(lengths[member] for member in members) <= T
        assert B % devices == 0 and sentences.PLACES * devices >= B * T
    assert len({shape for _, shape in calls}) <= 20
    assert sum(B * T for _, (B, T) in calls) < 1.3 * sum(lengths)
    assert list(sentences.calls([7], 1)) == [([0], (1, 16))]


@pytest.mark.parametrize(("texts", "complaint"), [
    (["fine", 3], "text 1 (from 0) is int, not a string: 3"),
    (["fine", " ... "], "text 1 (from 0) has no words: leave it out: ' ... '"),
    ([""], "text 0 (from 0) has no words: leave it out: ''"),
])
def test_texts_that_cannot_be_read_are_named(model, texts, complaint):
    with pytest.raises(Problem, match=re.escape(complaint)):
        model._sentences(texts)


def test_layers_and_poolings_that_are_not_there_are_named(model):
    for layer in (3, -4):
        with pytest.raises(UsageProblem, match=re.escape(f"layer {layer}: choose from 0 (the words' own vectors) to")):
            model.tokens("text", layer=layer)


def test_a_folder_opens(tmp_path, model):
    files.write(tmp_path, CONFIG, model.params)
    exact = model.encode(TEXTS)
    assert np.abs(contextual.read(tmp_path, devices=model.devices).encode(TEXTS) - exact).max() <= 1e-6
    loaded = encoder.load(tmp_path, tokenizer="whitespace")
    assert loaded.tokenizer == Words("whitespace", lower=False) and loaded.config == CONFIG
    with pytest.raises(UsageProblem, match="counts are for word vectors"):
        encoder.load(tmp_path, counts="counts.txt")
    rough = contextual.read(tmp_path, "bfloat16", model.devices).encode(TEXTS)
    assert rough.dtype == np.float32 and 1e-4 < np.linalg.norm(rough - exact) / np.linalg.norm(exact) < 3e-2
