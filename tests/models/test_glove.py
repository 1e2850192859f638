"""GloVe's page against loops over the paper's equations, finite differences and the authors' update."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import experiment
from embeddings.inputs.cooccurrences import Batch, Chunk
from embeddings.models import glove
from embeddings.training import mesh, optimizer
from embeddings.training.step import rows_step

V, D, P, X_MAX, ALPHA = 9, 5, 12, 10.0, 0.75
OBJECTIVE = glove.WeightedLeastSquares(X_MAX, ALPHA)


def chunk(padding=2):
    """Pairs with counts below, at and above x_max; a word stands several times; the last ones are padding."""
    rng = np.random.default_rng(0)
    word, context = rng.integers(0, V, (2, P))
    count = rng.choice([0.2, 1.0, 3.5, X_MAX, 400.0], P)
    count[P - padding :] = 0
    return Chunk(*map(jnp.asarray, (word.astype(np.int32), context.astype(np.int32), count.astype(np.float32))))


def tables(dtype=np.float32):
    rng = np.random.default_rng(1)
    return glove.Params(*(rng.normal(size=shape).astype(dtype) for shape in [(V, D), (V, D), (V, 1), (V, 1)]))


def rows_of(params, c):
    return jax.tree.map(lambda table, ids: jnp.asarray(table)[ids], params, OBJECTIVE.rows(c))


def by_loop(params, c):
    """J by eqs. 8 and 9 and its gradient, one pair after another."""
    loss, gradient = 0.0, jax.tree.map(np.zeros_like, params)
    for i, j, x in zip(*(np.asarray(a).tolist() for a in c), strict=True):
        if x == 0:
            continue
        f = (x / X_MAX) ** ALPHA if x < X_MAX else 1.0
        e = params.word[i] @ params.context[j] + params.word_bias[i, 0] + params.context_bias[j, 0] - np.log(x)
        loss += f * e**2
        gradient.word[i] += 2 * f * e * params.context[j]
        gradient.context[j] += 2 * f * e * params.word[i]
        gradient.word_bias[i] += 2 * f * e
        gradient.context_bias[j] += 2 * f * e
    return loss, gradient


def test_the_start_and_what_is_kept():
    params = glove.init(jax.random.key(0), glove.Config(vocabulary=300, width=50))
    assert [table.shape for table in params] == [(300, 50), (300, 50), (300, 1), (300, 1)]
    for table in params:
        x = np.asarray(table)
        assert np.abs(x).max() <= 0.5 / 50
        np.testing.assert_allclose(x.std(), 1 / 50 / np.sqrt(12), rtol=0.1)
    assert not np.allclose(params.word, params.context)
    np.testing.assert_array_equal(glove.vectors(params), params.word + params.context)


def test_the_weight_is_equation_9():
    counts = np.array([0, 1e-3, 1, 50, 99, 100, 101, 1e6], np.float32)
    for alpha in (0.75, 0.0, 1.0):
        want = [min(1, x / 100) ** alpha if x else 0 for x in counts.tolist()]
        np.testing.assert_allclose(glove.weight(jnp.asarray(counts), 100.0, alpha), want, rtol=1e-5)


def test_scores_are_the_left_side_of_equation_7():
    params, c = tables(), chunk()
    want = [params.word[i] @ params.context[j] + params.word_bias[i, 0] + params.context_bias[j, 0]
            for i, j in zip(c.word, c.context, strict=True)]
    np.testing.assert_allclose(glove.apply(jax.tree.map(jnp.asarray, params), c), want, rtol=1e-5)


def test_loss_and_gradient_are_their_definition():
    c, wanted = chunk(), tables(np.float64)
    loss, gradient = by_loop(wanted, c)
    rows = rows_of(tables(), c)
    total, number = OBJECTIVE.loss(rows, c)["loss"]
    np.testing.assert_allclose(total, loss, rtol=1e-5)
    assert number == P - 2
    found = jax.tree.map(np.zeros_like, wanted)
    for table, ids, by_row in zip(found, OBJECTIVE.rows(c), OBJECTIVE.gradient(rows, c, factor=-0.5), strict=True):
        np.add.at(table, np.asarray(ids), np.asarray(by_row, np.float64))
    for got, want in zip(found, gradient, strict=True):
        np.testing.assert_allclose(got, -0.5 * want, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_loss():
    c = chunk()
    rows = rows_of(tables(), c)
    by_jax = jax.grad(lambda r: OBJECTIVE.loss(r, c)["loss"][0])(rows)
    for got, want in zip(OBJECTIVE.gradient(rows, c), by_jax, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for name in glove.Params._fields:
        step = np.zeros(getattr(rows, name).shape, np.float32)
        step[3, 0] = 1e-2
        up, down = (OBJECTIVE.loss(rows._replace(**{name: getattr(rows, name) + sign * step}), c)["loss"][0]
                    for sign in (1, -1))
        np.testing.assert_allclose(getattr(by_jax, name)[3, 0], (up - down) / 2e-2, rtol=2e-2, atol=2e-3)


def test_padding_has_no_part_and_large_scores_give_numbers():
    c = chunk(padding=P)
    rows = rows_of(tables(), c)
    assert [float(x) for x in OBJECTIVE.loss(rows, c)["loss"]] == [0, 0]
    assert not any(by_row.any() for by_row in OBJECTIVE.gradient(rows, c))
    large = jax.tree.map(lambda r: 1e3 * r, rows)
    assert all(np.isfinite(by_row).all() for by_row in OBJECTIVE.gradient(large, chunk()))


def trained(params, c, rate, accumulator, name="adagrad"):
    """The tables after one call of the step on a batch in which each pair is an update of its own."""
    config = experiment.Optimizer(name=name, learning_rate=rate, schedule="constant", accumulator=accumulator)
    here = mesh.make(experiment.Mesh(), jax.devices()[:1])
    step = rows_step(OBJECTIVE, config, optimizer.schedule(config, 1), here)
    batch = Batch(*(np.asarray(a)[:, None] for a in c), np.int32(P), np.int32(P))
    state, sums = step(step.start(lambda p: p, params), step.place(batch))
    return jax.device_get((step.parameters(state), sums))


def test_sgd_on_rows_is_descent_pair_by_pair():
    c, params = chunk(), tables(np.float64)
    found, sums = trained(tables(), c, rate=0.01, accumulator=1.0, name="sgd")
    losses = []
    for n in range(P):
        loss, gradient = by_loop(params, Chunk(*(a[n : n + 1] for a in c)))
        params = jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient)
        losses.append(loss)
    for got, want in zip(found, params, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sums["loss"][0], sum(losses[-4:]), rtol=1e-4)


def authors(params, c, eta, current):
    """Their loop: half of J, sums that start at 1 and hold (eta g)^2, of this step too where `current`."""
    squares = jax.tree.map(np.ones_like, params)
    for n in range(P):
        _, gradient = by_loop(params, Chunk(*(a[n : n + 1] for a in c)))
        for table, square, g in zip(params, squares, gradient, strict=True):
            step = eta * g / 2
            table -= step / np.sqrt(square + (step**2 if current else 0))
            square += step**2
    return params


@pytest.mark.parametrize("eta", [0.05, 0.5])
def test_adagrad_is_the_authors_at_the_rate_that_the_page_says(eta):
    c = chunk()
    found, _ = trained(tables(), c, rate=1.0, accumulator=4 / eta**2)
    for got, want in zip(found, authors(tables(np.float64), c, eta, current=True), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_that_a_step_counts_in_its_own_sum_hardly_matters():
    """The authors divide by the sum before the step; vectors as small as GloVe's go the same way."""
    c = chunk()
    start = jax.tree.map(lambda table: 0.1 * table, tables(np.float64))
    ours, theirs = (authors(jax.tree.map(np.copy, start), c, 0.05, current) for current in (True, False))
    moved, apart = (np.concatenate([np.ravel(a - b) for a, b in zip(theirs, other, strict=True)])
                    for other in (start, ours))
    assert 0 < np.linalg.norm(apart) < 0.05 * np.linalg.norm(moved)


def test_a_table_of_counts_that_the_model_can_hold_is_learnt():
    """Counts made by a model of the same width: J falls to nothing, so log X is what the page says it is."""
    rng = np.random.default_rng(3)
    made = rng.normal(size=(2, V, D), scale=0.7)
    counts = np.exp(made[0] @ made[1].T + 1).astype(np.float32)
    word, context = np.divmod(rng.permutation(V * V).astype(np.int32), V)
    pairs = (word, context, counts[word, context])
    batch = Batch(*(a.reshape(-1, 27) for a in pairs), np.int32(3), np.int32(V * V))
    config = experiment.Optimizer(name="adagrad", learning_rate=0.3, schedule="constant")
    here = mesh.make(experiment.Mesh(), jax.devices()[:1])
    step = rows_step(OBJECTIVE, config, optimizer.schedule(config, 1), here)
    state = step.start(lambda key: glove.init(key, glove.Config(V, D)), jax.random.key(0))
    for _ in range(400):
        state, _ = step(state, batch)
    scores = glove.apply(step.parameters(state), Chunk(*map(jnp.asarray, pairs)))
    np.testing.assert_allclose(scores, np.log(counts[word, context]), atol=0.05)
