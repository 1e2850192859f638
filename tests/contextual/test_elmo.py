"""Texts in, vectors of words in context out."""
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from embeddings import encoder
from embeddings.contextual import elmo as contextual
from embeddings.contextual import sentences
from embeddings.contextual.classes import Head
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.texts import CutText
from embeddings.contextual.tokens import Reader, Tagger
from embeddings.formats import elmo as files
from embeddings.formats.sentence_transformers import Dense, Normalize, Pipeline
from embeddings.models import elmo
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.tokenizers.words import Words

CONFIG = small.ELMO
TEXTS = ["The bank of the river.", "One", "the bank, and its money: the bank's money!", "the river bank"]


@pytest.fixture(scope="module")
def model():
    return Elmo(CONFIG, small.elmo_params(), devices=tuple(jax.devices()[:1]))


@functools.partial(jax.jit, static_argnums=1)
def apply(params, config, batch):
    return elmo.apply(params, config, batch, outputs={elmo.STATES}).states


def alone(model, words, inside=True):
    """All layers of one sentence, by the model itself; its beginning and end among them unless `inside`."""
    ids, T = Characters(CONFIG.characters.longest).ids([BEGIN, *words, END]), len(words) + 2
    characters = jnp.asarray(np.pad(ids, ((0, 16 - T), (0, 0))))[None]
    batch = elmo.Batch(characters, jnp.any(characters > 0, axis=2).astype(jnp.int32))
    states = apply(jax.tree.map(jnp.asarray, model.params), CONFIG, batch)
    return np.asarray(states)[:, 0, inside : T - inside]


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


def headed(model, head=None, **pipeline):
    """The model as training leaves it."""
    return dataclasses.replace(model, head=head, pipeline=Pipeline(**{"longest": 12} | pipeline),
                               mixture=elmo.Mix(jnp.array([1.0, -1.0, 0.5]), jnp.float32(2.0)))


def framed(model, words):
    """The mixture of the words' layers, the beginning and end of the text among them."""
    states = alone(model, words, inside=False)
    s = np.exp([1.0, -1.0, 0.5]) / np.exp([1.0, -1.0, 0.5]).sum()
    return np.tensordot(2 * s, states, 1)


def test_what_training_put_after_pooling_is_done(model):
    kernel = np.random.default_rng(4).normal(size=(24, 5)).astype(np.float32)
    trained = headed(model, pooling=("max", "lasttoken"), steps=(Dense(kernel, None, "tanh"), Normalize()))
    inside = [framed(model, Words(lower=False).split(text))[1:-1] for text in TEXTS]
    want = np.tanh(np.stack([np.concatenate([x.max(0), x[-1]]) for x in inside]) @ kernel)
    np.testing.assert_allclose(trained.encode(TEXTS, normalize=False), want, atol=1e-5)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(trained.encode(TEXTS), want, atol=1e-5)
    np.testing.assert_allclose(trained.encode(TEXTS, pooling="mean", normalize=False), [x.mean(0) for x in inside],
                               atol=1e-5)
    assert trained.encode([]).shape == (0, 5)


def test_a_trained_model_reads_as_far_as_it_was_trained(model):
    trained, long = headed(model), "the bank " * 9
    with pytest.warns(CutText, match="1 of 2 texts have more than 12 tokens"):
        found = trained.encode([long, "the"])
    np.testing.assert_allclose(found[0], trained.encode(["the bank " * 5])[0], atol=1e-6)
    assert not trained.encode(["", "the"])[0].any()


def test_words_are_tagged_by_their_own_states(model):
    sentences = [["The", "bank's", "money", "..."], [], ["unheard-of"] * 3, ["one", "two"] * 11]
    kernel = np.random.default_rng(5).normal(size=(12, 3))
    head = Tagger(("O", "B-x", "I-x"), {"kernel": kernel, "bias": -np.mean(framed(model, sentences[0]) @ kernel, 0)})
    trained = dataclasses.replace(headed(model, head), tokenizer=Words("whitespace", lower=False))
    windows = [[words[at : at + 10] for at in range(0, len(words), 10)] for words in sentences]
    for tags, parts in zip(trained.tag(sentences), windows, strict=True):
        states = [framed(model, part)[1:-1] @ kernel + head.params["bias"] for part in parts]
        want = np.concatenate(states).argmax(1) if states else []
        assert tags == tuple(head.classes[best] for best in want)
    assert len({tag for tags in trained.tag(sentences) for tag in tags}) > 1
    assert not hasattr(trained, "answer") and not hasattr(trained, "classify") and not hasattr(model, "tag")


def test_questions_are_answered_by_a_loop_over_the_definition(model):
    head = Reader({"kernel": np.random.default_rng(6).normal(size=(12, 2))}, 2, 3, may_be_empty=False)
    trained = headed(model, head, longest=30)
    question, text = "Whose money ?", "The bank of a river, and its money"
    found, = trained.answer([(question, text)])
    q, t = (Words(lower=False).split(some) for some in (question, text))
    scores = framed(model, [*q, END, BEGIN, *t]) @ head.params["kernel"]
    starts, ends = scores[len(q) + 3 : -1].T
    spans = {(i, j): starts[i] + ends[j] for i in range(len(t)) for j in range(i, min(i + 3, len(t)))}
    (i, j), best = max(spans.items(), key=lambda item: item[1])
    assert text[found.start : found.end] == found.text and Words(lower=False).split(found.text) == t[i : j + 1]
    np.testing.assert_allclose(found.score, best - scores[0].sum(), atol=1e-5)


def test_classes_and_numbers_are_told(model):
    params = {"kernel": np.random.default_rng(7).normal(size=(24, 2)), "bias": np.array([0.1, -0.1])}
    trained = headed(model, Head(("no", "yes"), ("|u-v|", "u*v"), params))
    pairs = [(TEXTS[0], TEXTS[3]), (TEXTS[1], TEXTS[2])]
    u, v = trained.encode([a for a, _ in pairs]), trained.encode([b for _, b in pairs])
    scores = np.concatenate([abs(u - v), u * v], 1) @ params["kernel"] + params["bias"]
    found = trained.classify(pairs)
    np.testing.assert_allclose(found.probabilities, np.exp(scores) / np.exp(scores).sum(1, keepdims=True), atol=1e-5)
    assert found.labels == tuple(("no", "yes")[n] for n in scores.argmax(1)) and not hasattr(trained, "predict")
    with pytest.raises(UsageProblem, match="this model reads pairs"):
        trained.classify(["one"])
