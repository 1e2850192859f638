"""Copies side by side against the same done one after the other, by hand."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import experiment
from embeddings.experiment import Experiment
from embeddings.problems import UsageProblem
from embeddings.training import architectures, mesh, replicas
from embeddings.training.replicas import NOBODY, SETTLED, dealt, distinct, merged, put, side_by_side, taken, weight


def by_loop(start, after, touched):
    """Rows of one table after a merge; `touched` are the rows as the batch reads them."""
    found = start.copy()
    for row in set(touched):
        reads, copies = touched.count(row), len(after)
        share = 1 / copies + (1 - 1 / copies) * SETTLED / (SETTLED + reads)
        changed = sum(copy[row] - start[row] for copy in after)
        if start.ndim == 3:  # a row and, beside it, its sums of squares
            found[row, 0] += share * changed[0]
            found[row, 1] += changed[1]
        else:
            found[row] += share * changed
    return found


def test_changes_are_added_where_few_read_a_row_and_averaged_where_many_do():
    share = weight(np.array([1, SETTLED, 10**7]), 4, stacked=False)
    np.testing.assert_allclose(share[:, 0], [1, (1 + 1 / 4) / 2, 1 / 4], atol=.02)
    np.testing.assert_array_equal(weight(np.array([1, 10**7]), 2, stacked=True)[:, 1, 0], 1)


def test_rows_are_filled_up_to_few_sizes():
    sizes = [replicas.padded(rows) for rows in range(1, 200_000, 77)]
    assert all(size >= rows for rows, size in zip(range(1, 200_000, 77), sizes, strict=True))
    assert len(set(sizes)) < 25 and sizes[0] == replicas.SMALLEST
    assert all(size < 1.26 * rows for rows, size in zip(range(1, 200_000, 77), sizes, strict=True) if rows > 20_000)


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("stacked", [False, True])
def test_the_rows_that_are_touched_are_merged(stacked, copies, monkeypatch):
    monkeypatch.setattr(replicas, "SMALLEST", 32)
    rng = np.random.default_rng(1)
    for size, touched in ((5, [0, 3]), (40, list(range(40))), (60, sorted(rng.permutation(60)[:33].tolist()))):
        shape = (size, 2, 4) if stacked else (size, 4)
        reads = [*touched, *touched[:2], *touched[:1] * 99]
        at, times = distinct(np.array(reads, np.int32)[::-1])
        assert (at[: len(touched)] == touched).all() and (at[len(touched) :] == NOBODY).all() and len(at) % 32 == 0
        assert times[0] == 101 and times[1] == 2 and times.sum() == len(reads)
        start, *after = rng.normal(size=(copies + 1, *shape))
        rest = np.setdiff1d(np.arange(size), touched)
        for copy in after:
            copy[rest] = start[rest]
        before, *single = [{"table": jnp.asarray(x, jnp.float32)} for x in (start, *after)]
        own, weights = {"table": jnp.asarray(at)}, {"table": jnp.asarray(weight(times, copies, stacked))}
        first, rows = merged(single[0], own, taken(before, own), [taken(one, own) for one in single[1:]], weights)
        np.testing.assert_allclose(first["table"], by_loop(start, after, reads), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(put(single[1], own, rows)["table"], first["table"])


def small(*, copies, optimizer="sgd", **part):
    return Experiment(
        word2vec=experiment.Word2Vec(width=8, block=8, chunk=16, shared_negatives=4, subsample=0.0, **part),
        optimizer=experiment.Optimizer(name=optimizer),
        train=experiment.Train(steps=3, batch=200, replicas=copies),
    )


class Text:
    """200 words a batch, of which 90 are different."""

    tokens = 600
    ids = np.minimum(np.random.default_rng(0).zipf(1.3, 600) - 1, 89).astype(np.int32)

    def read(self, start, stop):
        return self.ids[start:stop], np.arange(start, stop, dtype=np.int32) // 20


def job(settings, copies):
    architecture = architectures.of(settings)
    corpus = architecture.prepare(settings, architecture.imagined(settings, 90)._replace(tokens=Text()))
    one = architecture.build(settings, corpus, mesh.make(experiment.Mesh(), jax.devices()[:1]))
    return one, side_by_side(one, copies, settings.optimizer.name == "adagrad")


def test_every_chunk_goes_to_one_copy():
    one, _ = job(small(copies=1), 1)
    batch = one.batches(1)
    filled = int(batch.chunks)
    parts = [dealt(batch, r, 3) for r in range(3)]
    assert filled > 3 and sum(int(part.chunks) for part in parts) == filled
    assert len({part.ids.shape for part in parts}) == 1
    for c in range(filled):
        part = parts[c % 3]
        for whole, own in zip(batch[:4], part[:4], strict=True):
            assert (whole[c] == own[c // 3]).all()
        assert c // 3 < part.chunks


@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=pytest.mark.slow), "adagrad"])
def test_it_is_each_copy_by_itself_and_a_merge(optimizer):
    one, both = job(small(copies=2, optimizer=optimizer), 2)
    state = both.start(0)
    for n in range(2):
        before = jax.device_get(state["params"])
        after = []
        for r in range(2):
            own = jax.tree.map(jnp.asarray, {**jax.device_get(state), "params": before})
            after.append(jax.device_get(one.step(own, one.step.place(dealt(one.batches(n), r, 2)))[0]["params"]))
        state, sums = both.step(state, both.place(n).arrays)
        reads = jax.tree.leaves(replicas.named(one.step.constants.objective, one.batches(n)))
        for start, a, b, rows, got in zip(before, *after, reads, jax.device_get(state["params"]), strict=True):
            wanted = by_loop(start.astype(float), [a, b], np.asarray(rows).reshape(-1).tolist())
            np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)
        assert int(state["step"]) == n + 1 and float(sums["loss"][1]) > 0


def test_it_is_the_same_each_time_and_not_that_of_one_copy():
    one, both = job(small(copies=2), 2)
    tables = []
    for made in (both, both, one):
        state = made.start(0)
        for n in range(3):
            state, _ = made.step(state, made.place(n).arrays)
        tables.append(np.asarray(made.host_tables(state).words))
    assert tables[0].tobytes() == tables[1].tobytes() != tables[2].tobytes()


@pytest.mark.parametrize("settings", [
    dataclasses.replace(small(copies=2), mesh=experiment.Mesh(data=2)),
    dataclasses.replace(small(copies=2, loss="softmax"), optimizer=experiment.Optimizer(name="adam")),
    dataclasses.replace(small(copies=2), processes=experiment.Processes(coordinator="localhost:1")),
])
def test_it_is_for_rows_in_one_process_alone(settings):
    with pytest.raises(UsageProblem, match=r"--train\.replicas=2 is for losses that update rows"):
        settings.validate()


def test_more_copies_than_devices_are_refused():
    with pytest.raises(UsageProblem, match=r"--train\.replicas=99: there are 8 devices"):
        job(small(copies=99), 99)
