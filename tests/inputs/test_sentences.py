import numpy as np
import pytest

from embeddings.corpus.examples import Some
from embeddings.inputs.packing import slots, widened
from embeddings.inputs.sentences import Batches, equal, repeated


class Set:
    """Examples in memory; example i's label is i."""

    def __init__(self, number, columns, seed, most=9, different=10**6):
        draw = np.random.default_rng(seed)
        self.texts = [
            [draw.integers(1, different, draw.integers(2, most)) for _ in range(columns)] for _ in range(number)
        ]
        self.columns, self.tokens = columns, sum(len(text) for texts in self.texts for text in texts)

    def __len__(self):
        return len(self.texts)

    def read(self, numbers):
        texts = [text for n in numbers for text in self.texts[n]]
        starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
        ids = np.concatenate([np.zeros(0), *texts]).astype(np.int32)
        return Some(ids, ids % 2, starts, np.asarray(numbers, np.float32))


def batches(sets, weights, **more):
    return Batches(tuple(sets), weights, **{"seed": 3, "batch": 12, "length": 16} | more)


def texts(batch):
    """The texts of each example, read from the rows."""
    S = slots(batch.counted.shape[1])
    ids, counted = batch.tokens.ids, batch.counted
    return [[tuple(ids[p // S][counted[p // S] == p % S + 1]) for p in places] for places in batch.places]


def test_every_text_is_where_it_is_said_to_be():
    one = Set(50, 2, 0)
    made = batches([one], (1.0,))
    for n in (0, 3, 4):
        batch = made(n)
        rows, width = batch.tokens.ids.shape
        assert (rows, width) == (widened(made.rows, rows, 1), 16)
        assert batch.places.shape == (12, 2)
        for found, label in zip(texts(batch), batch.labels.label, strict=True):
            assert found == [tuple(text) for text in one.texts[int(label)]]
        assert (batch.tokens.types == batch.tokens.ids % 2).all(), "types lie where their tokens do"
        assert batch.words == sum(len(t) for found in texts(batch) for t in found) == np.count_nonzero(batch.counted)
        for row, segments in zip(batch.tokens.positions, batch.tokens.segments, strict=True):
            for segment in range(1, segments.max() + 1):
                assert row[segments == segment].tolist() == list(range((segments == segment).sum()))


def test_each_example_comes_once_an_epoch_in_another_order():
    made = batches([Set(48, 2, 0)], (1.0,))
    seen = [np.concatenate([made(n).labels.label for n in range(e * 4, e * 4 + 4)]).astype(int) for e in range(2)]
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(48)) and seen[0].tolist() != seen[1].tolist()
    assert made(2).labels.label.tolist() == made(2).labels.label.tolist()


def test_sets_are_mixed_by_weight_at_every_point():
    first, second = Set(40, 2, 0), Set(30, 2, 1)
    made, given = batches([first, second], (0.7, 0.3), batch=5), []
    for n in range(40):
        for found, label in zip(texts(made(n)), made(n).labels.label.astype(int), strict=True):
            given.append(label < 30 and found == [tuple(t) for t in second.texts[label]])
        assert abs(sum(given) - 0.3 * len(given)) <= 1
    labels = [label for n in range(8) for label in made(n).labels.label[: sum(given[5 * n : 5 * n + 5]) or 5]]
    assert len(labels) >= 12


def test_a_batch_that_needs_more_rows_gets_them():
    short, long = Set(12, 2, 0, most=3), Set(12, 2, 0, most=17)
    made = batches([short, long], (0.99, 0.01))
    usual = made.rows
    assert Batches((long,), (1.0,), 3, 12, 16, multiple=4).rows % 4 == 0
    object.__setattr__(made, "sets", (long, long))
    rows = made(0).tokens.ids.shape[0]
    assert usual < rows == widened(usual, rows, 1)


def test_a_text_may_be_read_twice():
    one = Set(20, 1, 0)
    batch = batches([one], (1.0,), twice=True)(0)
    assert batch.places.shape == (12, 2) and (batch.places[:, 0] != batch.places[:, 1]).all()
    for found, label in zip(texts(batch), batch.labels.label, strict=True):
        assert found == [tuple(one.texts[int(label)][0])] * 2
    assert (batch.labels.texts[:, 0] == batch.labels.texts[:, 1]).all()


def test_equal_texts_have_equal_numbers_and_the_second_example_is_left_out():
    one = Set(40, 2, 0, most=3, different=4)
    batch = batches([one], (1.0,), batch=20)(1)
    flat = [text for found in texts(batch) for text in found]
    numbers = batch.labels.texts.reshape(-1)
    for i, a in enumerate(flat):
        for j, b in enumerate(flat):
            assert (numbers[i] == numbers[j]) == (a == b)
    for n, found in enumerate(texts(batch)):
        before = {text for other in texts(batch)[:n] for text in other}
        assert batch.labels.weight[n] == (0 if before & {*found} else 1)
    assert batches([one], (1.0,), batch=20, distinct=False)(1).labels.weight.all()


def test_padding_examples_have_no_weight():
    batch = batches([Set(50, 2, 0)], (1.0,), batch=10, multiple=4)(0)
    assert batch.labels.weight.tolist() == [1] * 10 + [0] * 2
    assert (batch.labels.texts[10:] == -1).all()


def test_numbers_of_texts():
    assert equal(np.array([5, 5, 6, 5, 7, 5, 6], np.int32), np.array([0, 1, 3, 4, 5, 7])).tolist() == [0, 1, 0, 3, 1]
    assert repeated(np.array([[0, 1], [2, 3], [4, 1], [0, 0]])).tolist() == [False, False, True, True]
    assert repeated(np.array([[0, 0], [2, 0]])).tolist() == [False, True]


@pytest.mark.parametrize("number", [13, 12])
def test_spans_are_the_batches_of_all_examples(number):
    assert batches([Set(number, 2, 0)], (1.0,)).spans == (2 if number == 13 else 1)
