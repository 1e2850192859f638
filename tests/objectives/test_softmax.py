"""Full and adaptive softmax against loops over their definition, finite differences and torch."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.words import Batch, Chunk
from embeddings.models.word2vec import Params
from embeddings.objectives.softmax import GROUP, MULTIPLE, Adaptive, Full, Predicted, Softmax, read, weighted_log_sums
from embeddings.objectives.words import Centre, Context

K, B, W, D, V = 2, 4, 2, 16, 11
R = B + 2 * W
LIMITS = (3, 6, V)
OUTPUTS = {"full": Full(V), "adaptive": Adaptive(LIMITS)}
READERS = {"skip-gram": (Centre(), False), "cbow": (Context(), True), "cbow exact": (Context(True), True)}


def chunk():
    """Two blocks: a line ends after the first centre; the last two centres are padding."""
    rng = np.random.default_rng(0)
    left = np.array([[2, 0, 1, 1], [2, 1, 0, 0]])
    right = np.array([[0, 2, 1, 2], [1, 0, 0, 0]])
    ids = rng.integers(0, V, (K, R))
    ids[1, :4] = ids[0, 4:]
    return Chunk(*(jnp.asarray(a, jnp.int32) for a in (ids, left, right, rng.integers(0, V, (K, 3)))))


def batch(filled=2):
    """The chunk twice, and a third time where no chunk is filled."""
    return Batch(*(jnp.stack([a, a, a]) for a in chunk()), chunks=jnp.int32(filled), words=jnp.int32(16))


def params(output):
    """Both halves, with numbers in the rows of padding too."""
    rng = np.random.default_rng(1)
    shapes = output.init(jax.random.key(0), D)
    drawn = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape, scale=0.5), jnp.float32), shapes)
    return Params(jnp.asarray(rng.normal(size=(V, D)), jnp.float32), drawn)


def objective(output, reader):
    return Softmax(READERS[reader][0], OUTPUTS[output], READERS[reader][1])


def predictions(by_mean):
    """(words that h is the mean of, word predicted) of the chunk."""
    c = chunk()
    for k in range(K):
        for i in range(B):
            places = [i + W + o for o in range(-int(c.left[k, i]), int(c.right[k, i]) + 1) if o]
            around, word = [int(c.ids[k, j]) for j in places], int(c.ids[k, i + W])
            if by_mean:
                yield from [(around, word)] if around else []
            else:
                yield from (([word], other) for other in around)


def log_probability(output, found, h, word):
    """log p(word | h) as the page defines it."""
    def log_softmax(scores):
        return scores - np.log(np.exp(scores).sum())

    found = jax.tree.map(functools.partial(np.asarray, dtype=np.float64), found)
    if isinstance(output, Full):
        return log_softmax(found.classes[:V] @ h)[word]
    head = log_softmax(found.classes[: LIMITS[0] + 2] @ h)
    if word < LIMITS[0]:
        return head[word]
    t = 0 if word < LIMITS[1] else 1
    tail = found.tails[t].classes[: LIMITS[t + 1] - LIMITS[t]] @ (found.tails[t].narrow.T @ h)
    return head[LIMITS[0] + t] + log_softmax(tail)[word - LIMITS[t]]


@pytest.mark.parametrize("reader", ["skip-gram", "cbow"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_loss_is_its_definition_and_chunks_that_are_not_filled_have_no_part(output, reader):
    whole = objective(output, reader)
    found = params(whole.words)
    rows = np.asarray(found.input, np.float64)
    made = [-log_probability(whole.words, found.output, rows[given].mean(axis=0), word)
            for given, word in predictions(whole.by_mean)]
    loss = jax.jit(whole.loss)
    for filled in (2, 0):
        j, weight = loss(found, batch(filled))["loss"]
        np.testing.assert_allclose(j, filled * sum(made), rtol=1e-5)
        assert weight == filled * len(made)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_probabilities_of_all_words_add_up_to_1(output):
    found = params(OUTPUTS[output]).output
    h = np.random.default_rng(2).normal(size=D)
    assert sum(np.exp(log_probability(OUTPUTS[output], found, h, w)) for w in range(V)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("output", "reader"), [
    ("full", "skip-gram"), ("adaptive", "cbow exact"), pytest.param("adaptive", "skip-gram", marks=pytest.mark.slow),
])
def test_the_gradient_is_that_of_the_loss(output, reader):
    whole = objective(output, reader)
    found = params(whole.words)
    loss = jax.jit(lambda p: whole.loss(p, batch())["loss"][0])
    gradient = jax.grad(loss)(found)
    leaves, structure = jax.tree.flatten(found)
    rng = np.random.default_rng(3)
    for n, (leaf, by_leaf) in enumerate(zip(leaves, jax.tree.leaves(gradient), strict=True)):
        step = jnp.asarray(1e-2 * rng.normal(size=leaf.shape), jnp.float32)
        up, down = (loss(structure.unflatten([*leaves[:n], leaf + sign * step, *leaves[n + 1 :]])) for sign in (1, -1))
        np.testing.assert_allclose(jnp.vdot(by_leaf, step), (up - down) / 2, rtol=1e-2, atol=1e-3)
    classes = gradient.output.classes
    used = V if output == "full" else LIMITS[0] + 2
    assert len(classes) == MULTIPLE and classes[:used].any() and not classes[used:].any()


@pytest.mark.parametrize("exact", [False, True])
def test_the_gradient_of_a_mean_goes_back_as_the_reader_says(exact):
    c, reader = chunk(), Context(exact)
    rows, by_h = jax.random.normal(jax.random.key(0), (K, R, D)), jax.random.normal(jax.random.key(1), (K, B, D))
    got = jax.jit(jax.grad(lambda rows: jnp.vdot(read(rows, reader, c), by_h)))(rows)
    np.testing.assert_allclose(got, reader.back(by_h, rows, c), rtol=1e-6)


def test_centres_that_predict_nothing_in_a_cluster_cost_no_sum_and_change_none():
    rng = np.random.default_rng(4)
    places = 3 * GROUP - 5
    h, classes = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in [(K, places, D), (MULTIPLE, D)])
    weight = jnp.asarray(rng.integers(0, 3, (K, places)) * (rng.random((K, places)) < 0.3), jnp.int32)
    sums = np.log(np.exp(np.asarray(h, float) @ np.asarray(classes, float)[:100].T).sum(axis=2))
    found = jax.jit(weighted_log_sums, static_argnums=3)
    np.testing.assert_allclose(found(weight, h, classes, 100), np.sum(weight * sums), rtol=1e-5)
    assert found(jnp.zeros_like(weight), jnp.full_like(h, jnp.nan), classes, 100) == 0


def test_scores_that_are_far_out_give_numbers():
    predicted = Predicted.of(chunk(), by_mean=False)
    for output in OUTPUTS.values():
        found = jax.tree.map(lambda x: 1e2 * x, params(output).output)
        h = 1e2 * jax.random.normal(jax.random.key(0), (K, B, D))
        value, gradient = jax.jit(jax.value_and_grad(output.loss))(h, found, predicted)
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_the_start():
    started = Adaptive((1000, 3000, 9000)).init(jax.random.key(0), 64)
    assert started.classes.shape == (1024, 64) and not started.classes.any()
    assert [(t.narrow.shape, t.classes.shape) for t in started.tails] == [((64, 16), (2048, 16)), ((64, 4), (6016, 4))]
    for tail in started.tails:
        assert not tail.classes.any() and 0.1 < np.abs(tail.narrow).max() <= 1 / 8
    assert Full(9000).init(jax.random.key(0), 64).classes.shape == (9088, 64)


@pytest.mark.reference
def test_the_adaptive_softmax_is_torchs():
    torch = pytest.importorskip("torch")
    output = Adaptive(LIMITS)
    found = params(output).output
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(D, V, list(LIMITS[:-1]), div_value=4.0)
    h = np.random.default_rng(5).normal(size=(30, D)).astype(np.float32)
    words = np.random.default_rng(6).integers(0, V, 30)
    with torch.no_grad():
        theirs.head.weight.copy_(torch.from_numpy(np.array(found.classes[: output.head])))
        for pair, tail, size in zip(theirs.tail, found.tails, np.diff(LIMITS), strict=True):
            pair[0].weight.copy_(torch.from_numpy(np.array(tail.narrow.T)))
            pair[1].weight.copy_(torch.from_numpy(np.array(tail.classes[:size])))
        wanted = theirs(torch.from_numpy(h), torch.from_numpy(words)).output.numpy()
    one_each = Predicted(jnp.asarray(words, jnp.int32)[None], jnp.ones((1, 30, 1), bool))
    np.testing.assert_allclose(-jax.jit(output.loss)(jnp.asarray(h)[None], found, one_each), wanted.sum(), rtol=1e-5)
    got = [log_probability(output, found, one.astype(np.float64), word) for one, word in zip(h, words, strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
