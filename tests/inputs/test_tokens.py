import numpy as np

from embeddings.corpus.marked import Marked
from embeddings.inputs.tokens import Batches


class Set:
    """Texts in memory; the marks of a text are its ids and 1000."""

    def __init__(self, number, seed, most=12):
        draw = np.random.default_rng(seed)
        self.texts = [draw.integers(1, 500, draw.integers(2, most)) for _ in range(number)]
        self.tokens = sum(map(len, self.texts))

    def __len__(self):
        return len(self.texts)

    def read(self, numbers):
        ids = np.concatenate([np.zeros(0, int), *(self.texts[n] for n in numbers)]).astype(np.int32)
        return Marked(ids, ids % 2, ids + 1000, np.array([len(self.texts[n]) for n in numbers], np.int64))


def found(batch):
    """The texts of a batch."""
    rows, segments = batch.tokens.ids, batch.tokens.segments
    return [tuple(row[of == text]) for row, of in zip(rows, segments, strict=True) for text in range(1, of.max() + 1)]


def test_each_text_comes_once_an_epoch_with_its_marks():
    one = Set(40, 0)
    made = Batches((one,), (1.0,), 7, 8, 16, 4)
    assert made.spans == 5
    seen = []
    for n in range(5):
        batch = made(n)
        there = batch.tokens.segments > 0
        assert len(batch.marks) % 4 == 0 and batch.words == there.sum()
        assert (batch.marks == np.where(there, batch.tokens.ids + 1000, 0)).all()
        assert (batch.tokens.types == np.where(there, batch.tokens.ids % 2, 0)).all()
        seen += found(batch)
    assert sorted(seen) == sorted(map(tuple, one.texts))
    for a, b in zip(made(3), made(3), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(np.atleast_1d(a), np.atleast_1d(b), strict=True))


def test_sets_are_mixed_by_weight():
    first, second = Set(40, 0), Set(30, 1)
    made, texts = Batches((first, second), (0.75, 0.25), 7, 8, 16), set(map(tuple, second.texts))
    assert [sum(text in texts for text in found(made(n))) for n in range(4)] == [2, 2, 2, 2]
