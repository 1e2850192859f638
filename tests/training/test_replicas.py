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
from embeddings.training.replicas import NOBODY, adasum, dealt, distinct, merged, put, side_by_side, taken


def by_loop(a, b):
    """Maleki et al. 2021, eq. 3, row by row."""
    found = np.zeros_like(a)
    for i in range(len(a)):
        for own, other in ((a[i], b[i]), (b[i], a[i])):
            if own.any():
                found[i] += (1 - own @ other / (2 * own @ own)) * own
    return found


def test_changes_are_put_together_as_adasum_does():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 5))
    b[1], a[2], b[3], b[4] = a[1], 0, 0, -a[4]
    b[5] -= a[5] * (a[5] @ b[5]) / (a[5] @ a[5])  # at a right angle
    found = np.asarray(adasum(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)))
    np.testing.assert_allclose(found, by_loop(a, b), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[[1, 2, 3, 5]], [a[1], b[2], a[3], a[5] + b[5]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("stacked", [False, True])
def test_the_rows_that_are_touched_are_merged(stacked, copies, monkeypatch):
    monkeypatch.setattr(replicas, "ROUNDED", 32)
    rng = np.random.default_rng(1)
    for size, touched in ((5, [0, 3]), (40, range(40)), (60, sorted(rng.permutation(60)[:33]))):
        shape = (size, 2, 4) if stacked else (size, 4)
        at = distinct(np.array([*touched, *touched[:2]], np.int32)[::-1])
        assert (at[: len(touched)] == touched).all() and (at[len(touched) :] == NOBODY).all() and len(at) % 32 == 0
        start, *after = rng.normal(size=(copies + 1, *shape))
        rest = np.setdiff1d(np.arange(size), touched)
        for copy in after:
            copy[rest] = start[rest]
        changes = [copy - start for copy in after]
        rows = [change[:, 0] for change in changes] if stacked else changes
        wanted = rows[0]
        for other in rows[1:]:
            wanted = by_loop(wanted, other)
        if stacked:
            wanted = np.stack([wanted, sum(change[:, 1] for change in changes)], axis=1)
        before, *single = [{"table": jnp.asarray(x, jnp.float32)} for x in (start, *after)]
        own = {"table": jnp.asarray(at)}
        first, rows = merged(single[0], own, taken(before, own), [taken(one, own) for one in single[1:]], stacked)
        np.testing.assert_allclose(first["table"], start + wanted, rtol=1e-4, atol=1e-5)
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
        for start, a, b, got in zip(before, *after, jax.device_get(state["params"]), strict=True):
            start, a, b, got = (x[:, 0] if optimizer == "adagrad" else x for x in (start, a, b, got))
            changed = by_loop((a - start).astype(float), (b - start).astype(float))
            np.testing.assert_allclose(got, start + changed, rtol=1e-3, atol=1e-5)
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
