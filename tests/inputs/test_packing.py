import numpy as np
import pytest

from embeddings.inputs.packing import SHORTEST, pack, slots


@pytest.mark.parametrize("tiers", [(64,), (16, 32, 64)])
def test_every_text_has_a_place_of_its_own(tiers):
    lengths = np.random.default_rng(0).integers(2, 65, 500)
    rows = pack(lengths, tiers)
    taken = [np.zeros(size, int) for size in rows.lengths]
    for row, start, length in zip(rows.row, rows.start, lengths, strict=True):
        assert start + length <= len(taken[row])
        taken[row][start : start + length] += 1
    assert max(place.max() for place in taken) == 1
    assert {*rows.lengths.tolist()} <= {*tiers}
    for number, size in enumerate(rows.lengths):
        assert sorted(rows.slot[rows.row == number]) == list(range((rows.row == number).sum()))
        assert (rows.row == number).sum() <= slots(int(size)) == size // SHORTEST


def test_little_is_left_empty():
    lengths = np.random.default_rng(1).integers(2, 65, 2000)
    rows = pack(lengths, (64,))
    assert lengths.sum() / rows.lengths.sum() > 0.98


def test_a_text_opens_the_shortest_row_that_holds_it():
    assert pack(np.array([3, 17, 64]), (16, 32, 64)).lengths.tolist() == [64, 32]  # the first fits behind the second
    assert pack(np.array([16]), (16, 32)).lengths.tolist() == [16]
    assert pack(np.zeros(0, int), (16,)).lengths.tolist() == []
