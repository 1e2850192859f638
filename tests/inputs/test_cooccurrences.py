"""Batches of counted pairs: each pair once an epoch, in an order that is a function of the seed."""
import dataclasses
import itertools

import numpy as np
import pytest

from embeddings.inputs.cooccurrences import Batches, permuted


@dataclasses.dataclass(frozen=True)
class Table:
    """Entry n is (n, n + 1000, n + 1)."""

    entries: int

    def read(self, start, stop):
        n = np.arange(start, stop, dtype=np.int32)
        return n, n + np.int32(1000), (n + 1).astype(np.float32)


def make(entries=1000, **settings):
    return Batches(Table(entries), **({"seed": 3, "batch": 300, "chunk": 64} | settings))


def entries(batch):
    """What a batch holds, in the order of the updates."""
    filled = [np.asarray(a)[: int(batch.chunks)].ravel() for a in batch[:3]]
    there = filled[2] > 0
    word, context, count = (a[there] for a in filled)
    assert (context == word + 1000).all() and (count == word + 1).all()
    assert not any(np.asarray(a)[int(batch.chunks) :].any() for a in batch[:3])
    return word.tolist()


def test_an_epoch_has_each_pair_once_and_each_epoch_another_order():
    batches = make()
    assert batches.spans == 4
    epochs = [[entries(batches(4 * epoch + n)) for n in range(4)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == list(range(1000))
        assert sorted(map(len, epoch)) == [100, 300, 300, 300]
    assert len({tuple(itertools.chain(*epoch)) for epoch in epochs}) == 3
    assert len({tuple(min(batch) for batch in epoch) for epoch in epochs}) > 1
    assert all(batch != sorted(batch) for epoch in epochs for batch in epoch)


def test_a_batch_is_a_function_of_seed_and_number():
    one, again, other = make()(5), make()(5), make(seed=4)(5)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert entries(one) != entries(other)


def test_shapes_are_the_same_for_every_batch():
    batches = make()
    made = [batches(n) for n in range(4)]
    assert {tuple(np.shape(a) for a in batch) for batch in made} == {((5, 64), (5, 64), (5, 64), (), ())}
    assert [int(batch.words) for batch in made] == [len(entries(batch)) for batch in made]
    assert {int(batch.chunks) for batch in made} == {5, 2}
    assert [a.dtype.name for a in made[0]] == ["int32", "int32", "float32", "int32", "int32"]
    chunk = made[0].chunk(2)
    assert [np.asarray(a).tolist() for a in chunk] == [a[2].tolist() for a in made[0][:3]]


@pytest.mark.parametrize("multiple", [3, 64, 100])
def test_padding_for_devices_changes_nothing(multiple):
    plain, padded = make()(1), make(multiple=multiple)(1)
    assert padded.word.shape[1] % multiple == 0
    assert entries(plain) == entries(padded)
    assert not padded.count[:, 64:].any()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_table_smaller_than_a_batch(size):
    batches = make(entries=size)
    assert batches.spans == 1
    assert sorted(entries(batches(7))) == list(range(size))


@pytest.mark.parametrize("n", [1, 2, 3, 12, 97, 1000])
def test_permutations_are_permutations(n):
    raw = np.random.default_rng(n).integers(0, 2**63, (20, 2)).astype(np.uint64)
    found = [tuple(permuted(np.arange(n), n, two).tolist()) for two in raw]
    assert all(sorted(one) == list(range(n)) for one in found)
    assert len(set(found)) > min(n, 5) - 2


def test_a_large_permutation_stays_within_64_bits():
    n = (1 << 31) - 2
    raw = np.array([2**64 - 1, 2**64 - 1], np.uint64)
    places = np.array([0, 1, n // 2, n - 1])
    a, b = int(raw[0]) % n, int(raw[1]) % n
    while np.gcd(a, n) > 1:
        a += 1
    assert permuted(places, n, raw).tolist() == [(int(k) * a + b) % n for k in places]
