"""A corpus in pieces, whose order each epoch draws."""
import numpy as np
import pytest
from corpora import Text

from embeddings.inputs.shuffled import Shuffled, order


def corpus(n=1000):
    draw = np.random.default_rng(0)
    return Text(np.arange(n, dtype=np.int32), np.cumsum(draw.random(n) < 0.2).astype(np.int32))


def test_an_epoch_reads_everything_once_piece_by_piece():
    shuffled = Shuffled(corpus(), 64, seed=3)
    ids = np.concatenate([
        shuffled.read(0, start, min(start + 150, 1000))[0] for start in range(0, 1000, 150)])
    assert np.array_equal(np.sort(ids), np.arange(1000))
    whole = ids[:960].reshape(15, 64)
    assert (np.diff(whole, axis=1) == 1).all() and not (whole[:, 0] % 64).any()
    assert np.array_equal(whole[:, 0] // 64, order(3, 0, 15)) and np.array_equal(ids[960:], np.arange(960, 1000))


@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (10, 20), (60, 70), (63, 64), (100, 900), (950, 1000)])
def test_any_span_is_the_same_part_of_the_order(start, stop):
    text = corpus()
    shuffled = Shuffled(text, 64, seed=3)
    ids, lines = shuffled.read(2, start, stop)
    assert np.array_equal(ids, shuffled.read(2, 0, 1000)[0][start:stop])
    # Neighbours are of one line where they were in the corpus, and of the same piece.
    same = (np.diff(ids) == 1) & (np.diff(text.segments[ids]) == 0) & (ids[1:] % 64 > 0)
    assert np.array_equal(np.diff(lines) == 0, same)


def test_each_epoch_and_seed_has_an_order_of_its_own():
    assert sorted(order(0, 0, 100)) == list(range(100))
    assert len({tuple(order(seed, epoch, 100)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6
    assert not order(0, 0, 0).size


def test_without_pieces_the_corpus_is_as_it_stands():
    text = corpus()
    assert all(map(np.array_equal, Shuffled(text, 0, seed=3).read(5, 17, 400), text.read(17, 400)))
