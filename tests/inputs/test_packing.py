import numpy as np
import pytest

from embeddings.inputs.packing import SHORTEST, pack, slots, usual, widened


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


def test_most_batches_have_the_rows_with_which_the_mean_batch_has_fewest():
    draw = np.random.default_rng(2)
    found = [draw.integers(4, 30, 64) for _ in range(200)]
    needed = [len(pack(lengths, (64,)).lengths) for lengths in found]
    rows = usual(lambda n: found[n], 64, 64, 1)
    assert rows in needed

    def mean(rows):
        return np.mean([widened(rows, n, 1) for n in needed[:32]])

    assert mean(rows) == min(mean(other) for other in range(8, 40))
    assert mean(rows) < 1.1 * np.mean(needed) and len({widened(rows, n, 1) for n in needed}) <= 3
    assert usual(lambda n: found[n], 64, 64, 8) % 8 == 0


def test_a_batch_that_needs_more_rows_has_an_eighth_more():
    assert [widened(16, n, 1) for n in (3, 16, 17, 18, 19)] == [16, 16, 18, 18, 21]
    assert [widened(16, n, 4) for n in (16, 17, 21)] == [16, 20, 24]
