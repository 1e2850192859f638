"""Both step builders against updates written out, and the same numbers on every topology."""
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from embeddings import experiment
from embeddings.inputs.words import Batches
from embeddings.models import word2vec
from embeddings.models.word2vec import Params
from embeddings.objectives.noise import cbow, skip_gram
from embeddings.objectives.softmax import Adaptive, Full, Softmax
from embeddings.objectives.words import Centre, Context
from embeddings.problems import UsageProblem
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.dense import dense_step
from embeddings.training.step import EPSILON, WATCHED, RowConstants, rows_body, rows_step

V, D = 700, 16
LARGE = 5000  # words: a device's part of a table is then larger than anything that a chunk needs
CONFIG = word2vec.Config(vocabulary=V, width=D)
TOPOLOGIES = [(8, 1, 1), (2, 2, 2), (1, 4, 2), (4, 1, 2)]


class Text:
    """A corpus in memory: 500 words, a line ends at random."""

    def __init__(self, words=V):
        rng = np.random.default_rng(0)
        self.ids = rng.permutation(words)[np.arange(500) % words].astype(np.int32)
        self.segments = np.cumsum(rng.random(500) < 0.1).astype(np.int32)
        self.tokens = 500

    def read(self, start, stop):
        return self.ids[start:stop], self.segments[start:stop]


def batches(words=60, **settings):
    counts = np.bincount(Text(words).ids, minlength=V)
    small = {"batch": 200, "window": 2, "block": 4, "chunk": 16, "shared_negatives": 3, "subsample": 0.1}
    return Batches(Text(words), counts, **(small | settings))


def mesh_of(shape=(1, 1, 1)):
    n = math.prod(shape)
    return meshes.make(experiment.Mesh(*shape), jax.devices()[:n])


def settings(name="sgd", learning_rate=0.05):
    config = experiment.Optimizer(name=name, learning_rate=learning_rate, final_learning_rate=0.5)
    return config, optimizer.schedule(config, 3)


def start():
    """Tables that are both away from zero."""
    rng = np.random.default_rng(5)
    return Params(*(rng.normal(size=(V, D), scale=0.4).astype(np.float32) for _ in range(2)))


def trained(step, source, calls=2, params=None):
    state = step.start(lambda p: p, params or start())
    for n in range(calls):
        state, sums = step(state, step.place(source(n)))
    return jax.device_get((state, sums))


def chunks(batch):
    return [batch.chunk(n) for n in range(int(batch.chunks))]


def table_loss(objective, chunk):
    ids = objective.rows(chunk)
    return lambda params: objective.loss(jax.tree.map(lambda t, i: t[i], params, ids), chunk)["loss"][0]


@pytest.mark.parametrize("objective", [skip_gram(), cbow(exact=True)], ids=["skipgram", "cbow exact"])
def test_sgd_on_rows_is_descent_on_the_stated_objective(objective):
    config, rate = settings()
    state, _ = trained(rows_step(objective, config, rate, mesh_of()), batches())
    params = jax.tree.map(jnp.asarray, start())
    gradient = jax.jit(lambda params, chunk: jax.grad(table_loss(objective, chunk))(params))
    for n in range(2):
        for chunk in chunks(batches()(n)):
            params = jax.tree.map(lambda p, g, n=n: p - rate(n) * g, params, gradient(params, chunk))
    for got, want in zip(state["params"], params, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert state["step"] == 2 and state["optimizer"] == ()


def test_adagrad_on_rows_that_stand_once_is_optax_adagrad():
    config, rate = settings("adagrad")
    source = batches(words=V, batch=16, shared_negatives=1, block=16, subsample=0.0, noise_power=0.0)
    chunk = chunks(source(0))[0]
    step = rows_step(skip_gram(), config, rate, mesh_of())
    state, _ = trained(step, source, calls=1)
    words = np.concatenate([np.asarray(chunk.ids[0, 2:-2]), np.asarray(chunk.negatives[0])])
    assert len(set(words.tolist())) == 17, "a word stands twice: choose another seed"
    dense = optax.adagrad(rate, initial_accumulator_value=config.accumulator, eps=EPSILON)
    params = jax.tree.map(jnp.asarray, start())
    changes, kept = dense.update(jax.grad(table_loss(skip_gram(), chunk))(params), dense.init(params))
    for got, before, change in zip(step.parameters(state), params, changes, strict=True):
        np.testing.assert_allclose(got, before + change, rtol=1e-4, atol=1e-5)
    for got, want in zip(state["params"], kept[0].sum_of_squares, strict=True):
        np.testing.assert_allclose(got[:, 1], want, rtol=1e-4, atol=1e-6)


def test_adagrad_takes_each_place_of_a_row_by_itself():
    config, rate = settings("adagrad")
    source = batches(words=5, batch=16)
    state, _ = trained(rows_step(cbow(), config, rate, mesh_of()), source, calls=1)
    (chunk,) = chunks(source(0))
    before, ids = start(), cbow().rows(chunk)
    places = cbow().gradient(jax.tree.map(lambda t, i: jnp.asarray(t)[i], before, ids), chunk)
    for table, name in enumerate(Params._fields):
        want = np.stack([before[table], np.full((V, D), config.accumulator)], axis=1).astype(np.float64)
        old = want.copy()
        for row, g in zip(np.ravel(ids[table]), np.asarray(places[table], np.float64).reshape(-1, D), strict=True):
            want[row, 1] += g**2
            want[row, 0] -= float(rate(0)) * g / np.sqrt(old[row, 1] + g**2 + EPSILON)
        np.testing.assert_allclose(getattr(state["params"], name), want, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_last_chunks_each_before_its_update():
    config, rate = settings()
    step = rows_step(skip_gram(), config, rate, mesh_of())
    batch = batches()(0)
    _, sums = step(step.start(lambda p: p, start()), batch)
    last = range(int(batch.chunks) - WATCHED, int(batch.chunks))
    assert last[0] > 0
    want = 0.0
    for n in last:
        state, _ = step(step.start(lambda p: p, start()), batch._replace(chunks=np.int32(n)))
        want += float(table_loss(skip_gram(), batch.chunk(n))(state["params"]))
    np.testing.assert_allclose(sums["loss"][0], want, rtol=1e-5)


def test_a_batch_with_nothing_in_it_changes_nothing():
    config, rate = settings()
    step = rows_step(skip_gram(), config, rate, mesh_of())
    batch = batches()(0)._replace(chunks=np.int32(0))
    state, sums = step(step.start(lambda p: p, start()), batch)
    assert all((a == b).all() for a, b in zip(state["params"], start(), strict=True))
    assert [float(x) for x in sums["loss"]] == [0, 0]


@pytest.mark.parametrize(
    ("objective", "name", "shape"),
    [(skip_gram(), "sgd", shape) for shape in TOPOLOGIES] + [(cbow(), "adagrad", shape) for shape in TOPOLOGIES[1:3]],
    ids=str,
)
def test_every_topology_trains_the_same(objective, name, shape):
    config, rate = settings(name)
    one, of_one = trained(rows_step(objective, config, rate, mesh_of()), batches())
    many, of_many = trained(rows_step(objective, config, rate, mesh_of(shape)), batches(multiple=shape[0]))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(of_one["loss"], of_many["loss"], rtol=1e-5)


def test_pmap_trains_the_same():
    config, rate = settings()
    source = batches(multiple=4)
    mesh_of((4, 1, 1))
    want, _ = trained(rows_step(skip_gram(), config, rate, mesh_of()), source)
    body = jax.pmap(
        rows_body(False, data="devices"),
        axis_name="devices",
        in_axes=(None, source(0)._replace(ids=1, left=1, right=1, negatives=1, chunks=None, words=None), None),
        out_axes=None,
        devices=jax.devices()[:4],
    )
    state = jax.device_get(rows_step(skip_gram(), config, rate, mesh_of()).start(lambda p: p, start()))
    for n in range(2):
        split = [a.reshape(a.shape[0], 4, -1, a.shape[2]) for a in source(n)[:4]]
        batch = source(n)._replace(**dict(zip(source(n)._fields[:4], split, strict=True)))
        state, _ = body(state, batch, RowConstants(skip_gram(), rate))
    for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


COLLECTIVE = re.compile(r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")


def collectives(program):
    """Elements that each collective of a compiled program gives back."""
    sizes = []
    for shapes, _ in COLLECTIVE.findall(program):
        sizes.append(sum(math.prod(map(int, filter(None, s.split(",")))) for s in re.findall(r"\[([\d,]*)\]", shapes)))
    return sizes


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_tables_never_travel_and_are_never_copied(name):
    config, rate = settings(name)
    for shape in [(1, 1, 1), (8, 1, 1), (2, 2, 2)]:
        step = rows_step(skip_gram(), config, rate, mesh_of(shape))
        state = step.shapes(lambda: word2vec.init(jax.random.key(0), word2vec.Config(vocabulary=LARGE, width=D)))
        program = step.lower(state, batches(multiple=shape[0])(0)).compile().as_text()
        sizes = collectives(program)
        assert bool(sizes) == (shape != (1, 1, 1))
        assert max(sizes, default=0) < LARGE * D / 8, shape
        tables = rf"f32\[{LARGE},(?:2,)?{D // shape[1] // shape[2]}\]\S* copy\("
        assert not re.search(tables, program)


def test_other_optimizers_are_refused():
    config, rate = settings("adam")
    with pytest.raises(UsageProblem, match=r"--optimizer\.name=adam .*sgd or adagrad"):
        rows_step(skip_gram(), config, rate, mesh_of())


FULL, ADAPTIVE = Softmax(Centre(), Full(V)), Softmax(Context(), Adaptive((40, 300, V)), by_mean=True)


def dense_start(objective):
    """Parameters of which none is zero, padding apart."""
    output = jax.tree.map(np.asarray, objective.init(jax.random.key(1), D))
    rng = np.random.default_rng(6)
    return Params(start().input, jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.4).astype(np.float32), output))


@pytest.mark.parametrize(("objective", "shape", "name"), [
    (FULL, (1, 1, 1), "momentum"), (FULL, (2, 2, 2), "adafactor"),
    pytest.param(ADAPTIVE, (2, 2, 2), "adam", marks=pytest.mark.slow),
], ids=lambda x: type(x.words).__name__ if isinstance(x, Softmax) else str(x))
def test_the_dense_step_is_optax_on_the_mean_loss(objective, shape, name):
    config, rate = settings(name, 0.02)
    step = dense_step(objective.loss, functools.partial(optimizer.build, config), rate, mesh_of(shape))
    source = batches(batch=64, multiple=8)
    state, sums = trained(step, source, params=dense_start(objective))
    by_hand = optimizer.build(config, rate)
    params = jax.tree.map(jnp.asarray, dense_start(objective))
    kept = by_hand.init(params)

    @jax.jit
    def gradient(params, batch):
        def mean(params):
            total, weight = objective.loss(params, batch)["loss"]
            return total / weight

        return jax.grad(mean)(params)

    for n in range(2):
        changes, kept = by_hand.update(gradient(params, source(n)), kept, params)
        params = optax.apply_updates(params, changes)
    for got, want in zip(jax.tree.leaves(step.parameters(state)), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-5)
    assert state["step"] == 2 and sums["loss"][1] > 0


def test_tables_are_split_by_width_classes_by_rows_and_what_adam_keeps_as_they_are():
    config, rate = settings("adam")
    step = dense_step(ADAPTIVE.loss, functools.partial(optimizer.build, config), rate, mesh_of((2, 2, 2)))
    state = step.start(lambda: Params(jnp.ones((V, D)), ADAPTIVE.init(jax.random.key(1), D)))
    specs = {"input": P(None, ("fsdp", "tensor")), "classes": P(("fsdp", "tensor"), None), "narrow": P(None, None)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if leaf.ndim == 2:
            assert leaf.sharding.spec == specs[path[-1].name]
            parts = leaf.size // leaf.addressable_shards[0].data.size
            assert parts == (1 if path[-1].name == "narrow" else 4)


def test_no_table_travels_between_devices_that_split_it():
    """Along data a dense gradient is added up, as large as a table; along fsdp and tensor nothing of that size goes."""
    config, rate = settings("adam")
    for objective in (Softmax(Centre(), Full(LARGE)), Softmax(Centre(), Adaptive((100, 2000, LARGE)))):
        step = dense_step(objective.loss, functools.partial(optimizer.build, config), rate, mesh_of((1, 4, 2)))
        state = step.shapes(lambda o=objective: Params(jnp.zeros((LARGE, D)), o.init(jax.random.key(0), D)))
        program = step.lower(state, batches()(0)).compile().as_text()
        assert 0 < max(collectives(program)) < LARGE * D / 8


def test_making_the_state_in_place_draws_the_same_numbers():
    config, rate = settings()
    states = [
        rows_step(skip_gram(), config, rate, mesh_of(shape)).start(
            lambda key: word2vec.init(key, CONFIG), jax.random.key(3)
        )
        for shape in [(1, 1, 1), (2, 2, 2)]
    ]
    assert (np.asarray(states[0]["params"].input) == np.asarray(states[1]["params"].input)).all()
