"""Tables of words and n-grams, trained by rows."""
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import experiment
from embeddings.experiment import Experiment, FastText
from embeddings.tokenizers.subwords import Subwords
from embeddings.training import architectures
from embeddings.training import mesh as meshes
from embeddings.training.architectures import fasttext
from embeddings.training.job import Corpus, Initial

WORDS = tuple(f"{stem}{end}" for stem in ("run", "walk", "sing", "go") for end in ("", "s", "ing", "er", "ner"))
V = len(WORDS)


class Text:
    """A corpus in memory; a line ends at random."""

    tokens = 500

    def __init__(self):
        rng = np.random.default_rng(0)
        self.ids = np.minimum(rng.zipf(1.3, 500) - 1, V - 1).astype(np.int32)
        self.segments = np.cumsum(rng.random(500) < 0.1).astype(np.int32)

    def read(self, start, stop):
        return self.ids[start:stop], self.segments[start:stop]


def corpus():
    return Corpus(WORDS, np.bincount(Text().ids, minlength=V) + 1, Text())


def settings(optimizer="sgd", **part):
    small = {"width": 8, "window": 2, "block": 4, "chunk": 16, "shared_negatives": 3, "subsample": 0.1, "buckets": 300}
    return Experiment(
        architecture="fasttext",
        fasttext=FastText(**(small | part)),
        optimizer=experiment.Optimizer(name=optimizer, learning_rate=0.05, final_learning_rate=0.5),
        train=experiment.Train(steps=2, batch=200),
    )


def job(what, shape=(1, 1, 1), initial=None):
    mesh = meshes.make(experiment.Mesh(*shape), jax.devices()[: math.prod(shape)])
    return fasttext.build(what, fasttext.prepare(what, corpus()), mesh, initial)


def trained(made, state):
    for n in range(made.steps):
        state, _ = made.step(state, made.place(n).arrays)
    return state


@pytest.mark.parametrize("part", [{}, {"algorithm": "cbow"}, {"algorithm": "cbow", "position_weights": True}], ids=str)
def test_sgd_on_rows_is_descent_on_the_stated_objective(part):
    what = settings(mean_gradient="exact", **part)
    made, objective = job(what), fasttext.objective(what.fasttext, corpus())
    state = made.start(0)
    noise = np.random.default_rng(1).normal(size=state["params"].output.shape, scale=0.4).astype(np.float32)
    params = jax.tree.map(lambda p: 4 * p, state["params"])._replace(output=jnp.asarray(noise))
    params = jax.device_get(params)

    @jax.jit
    def gradient(params, chunk):
        ids = objective.rows(chunk)
        return jax.grad(lambda p: objective.loss(jax.tree.map(lambda t, i: t[i], p, ids), chunk)["loss"][0])(params)

    wanted = jax.tree.map(jnp.asarray, params)
    for n in range(made.steps):
        batch, rate = made.batches(n), made.learning_rate(n)
        for c in range(int(batch.chunks)):
            wanted = jax.tree.map(lambda p, g, rate=rate: p - rate * g, wanted, gradient(wanted, batch.chunk(c)))
    found = trained(made, made.step.start(lambda p: p, params))
    for a, b in zip(jax.tree.leaves(found["params"]), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "part"), [("sgd", {}), ("adagrad", {"algorithm": "cbow", "position_weights": True})], ids=str
)
def test_what_a_state_leaves_is_what_its_checkpoint_leaves(part, optimizer):
    what = settings(optimizer, **part)
    made = job(what)
    state = trained(made, made.start(0))
    here = made.host_tables(state)
    saved = jax.tree.map(np.asarray, state["params"])
    named = {"input": saved.input, "output": saved.output}
    if part:
        named["input"] = {"rows": saved.input.rows, "positions": saved.input.positions}
    again = fasttext.tables(what, WORDS, named)
    for a, b in zip(here, again, strict=True):
        np.testing.assert_array_equal(a, b)
    used = np.asarray(again.buckets, np.int64)
    cut = Subwords(what.fasttext.min_ngram, what.fasttext.max_ngram, what.fasttext.buckets, used)
    rows = saved.input.rows if part else saved.input
    rows = rows[:, 0] if optimizer == "adagrad" else rows
    for v, word in enumerate(WORDS):
        wanted = np.mean([rows[v], *again.ngrams[cut.ngrams(word)]], axis=0)
        np.testing.assert_allclose(again.words[v], wanted, rtol=1e-4, atol=1e-6)
    assert not again.ngrams[-1].any() and len(again.ngrams) == len(again.buckets) + 1


def test_vectors_to_start_from_become_the_words_own_rows():
    initial = Initial(np.array([3, 0], np.int32), np.full((2, 8), 7, np.float32))
    for part in ({}, {"algorithm": "cbow", "position_weights": True}):
        params = job(settings(**part), initial=initial).start(0)["params"]
        rows = np.asarray(params.input.rows if part else params.input)
        assert (rows[[3, 0]] == 7).all() and np.abs(rows[[1, 2]]).max() <= 1 / 8


def test_a_corpus_that_is_not_there_can_be_compiled_for():
    what = settings()
    made = architectures.planned(what, 5000, meshes.make(experiment.Mesh(1, 1, 1), jax.devices()[:1]))
    assert made.like()["params"].output.shape == (5000, 8) and made.like()["params"].input.shape[0] > 5000
    assert made.lower()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)])
def test_tables_are_never_copied(shape):
    made = architectures.planned(
        settings(buckets=2_000_000), 5000, meshes.make(experiment.Mesh(*shape), jax.devices()[: math.prod(shape)])
    )
    rows, width = made.like()["params"].input.shape
    program = made.lower().compile().as_text()
    assert not re.search(rf"f32\[{rows},{width // shape[1] // shape[2]}\]\S* copy\(", program)
    assert not re.search(rf"f32\[{rows},\d+\]\S* (all-gather|all-reduce|all-to-all|collective-permute)", program)
