import itertools

import numpy as np
import pytest

from embeddings.inputs import rows as indexes
from embeddings.inputs.sequences import Batches, Rows, following

LENGTH, MASK, V = 12, 3, 50
SPECIAL = frozenset((0, 1, 2, MASK))


class Corpus:
    """Lines of tokens in memory; ids are never special."""

    def __init__(self, lengths):
        self.ids = np.random.default_rng(0).integers(4, V, sum(lengths)).astype(np.int32)
        self.lines = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
        self.tokens = len(self.ids)

    def read(self, start, stop):
        return self.ids[start:stop], self.lines[start:stop] - self.lines[start]


@pytest.fixture(scope="module")
def corpus():
    return Corpus(np.random.default_rng(1).integers(1, 40, 60).tolist())


@pytest.fixture(scope="module")
def rows(corpus, tmp_path_factory):
    index = indexes.prepare(corpus, "some", LENGTH, 2, tmp_path_factory.mktemp("cache"))
    return Rows(corpus, *index, LENGTH, (1,), (2,))


def test_every_token_stands_once_in_the_rows_between_its_special_ones(corpus, rows):
    read = rows.read(np.arange(len(rows)))
    words = []
    for ids, segments, positions in zip(read.ids, read.segments, read.positions, strict=True):
        for segment in range(1, segments.max() + 1):
            text = ids[segments == segment]
            assert text[0] == 1 and text[-1] == 2 and not np.isin(text[1:-1], list(SPECIAL)).any()
            assert positions[segments == segment].tolist() == list(range(len(text)))
            words.append(text[1:-1].tolist())
        assert not ids[segments == 0].any()
    assert sorted(itertools.chain.from_iterable(words)) == sorted(corpus.ids.tolist())
    lines = [corpus.ids[corpus.lines == line] for line in range(60)]
    windows = [line[at : at + LENGTH - 2].tolist() for line in lines for at in range(0, len(line), LENGTH - 2)]
    assert sorted(words) == sorted(windows)


def test_the_index_is_found_again_and_does_not_depend_on_its_groups(corpus, tmp_path, monkeypatch):
    first = indexes.prepare(corpus, "some", LENGTH, 2, tmp_path)
    monkeypatch.setattr(indexes, "_write", None)
    for a, b in zip(first, indexes.prepare(corpus, "some", LENGTH, 2, tmp_path), strict=True):
        assert np.array_equal(a, b)


def test_groups_join_without_a_gap(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(indexes, "GROUP", 100)
    rows = Rows(corpus, *indexes.prepare(corpus, "some", LENGTH, 2, tmp_path), LENGTH, (1,), (2,))
    read = rows.read(np.arange(len(rows)))
    assert sorted(read.ids[~np.isin(read.ids, list(SPECIAL))]) == sorted(corpus.ids.tolist())


def batches(rows, **more):
    settings = {"seed": 5, "batch": 8, "vocabulary": V, "mask": MASK, "special": SPECIAL, "share": 0.25}
    return Batches(rows, **settings | more)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(rows):
    made = batches(rows, mask=None)
    epochs = []
    for epoch in range(2):
        read = [made(n) for n in range(epoch * made.spans, (epoch + 1) * made.spans)]
        ids = np.concatenate([batch.tokens.ids for batch in read])
        epochs.append(ids)
        there = ids[ids.any(axis=1)]
        assert sorted(map(tuple, there)) == sorted(map(tuple, rows.read(np.arange(len(rows))).ids))
    assert not np.array_equal(*epochs)
    assert sum(int(batch.words) for batch in read) == np.count_nonzero(rows.read(np.arange(len(rows))).segments)


def test_a_batch_is_a_function_of_seed_and_number(rows):
    a, b = batches(rows)(3), batches(rows)(3)
    assert all(np.array_equal(x, y) for x, y in zip(a.tokens, b.tokens, strict=True)) and np.array_equal(a[1], b[1])
    assert not np.array_equal(batches(rows, seed=6)(3).tokens.ids, a.tokens.ids)


def test_a_share_of_each_row_is_predicted_and_mostly_masked(rows):
    made, plain = batches(rows), batches(rows, mask=None)
    fates = []
    for n in range(40):
        batch, order = made(n), plain(n).tokens
        assert batch.places.shape == (8, made.predictions) == (8, 3)
        for row in range(8):
            there = ~np.isin(order.ids[row], list(SPECIAL)) & (order.segments[row] > 0)
            number = int(batch.weights[row].sum())
            assert number == min(max(round(0.25 * there.sum()), there.any()), 3)
            places = batch.places[row][:number]
            assert len({*places.tolist()}) == number and there[places].all()
            assert batch.targets[row][:number].tolist() == order.ids[row][places].tolist()
            same = np.setdiff1d(np.arange(LENGTH), places)
            assert np.array_equal(batch.tokens.ids[row][same], order.ids[row][same])
            fates += [(batch.tokens.ids[row][p], order.ids[row][p]) for p in places]
    masked = np.mean([now == MASK for now, _ in fates])
    kept = np.mean([now == before for now, before in fates])
    assert masked == pytest.approx(0.8, abs=0.06) and kept == pytest.approx(0.1 + 0.1 / V, abs=0.05)


def test_a_causal_model_predicts_the_next_token_of_the_same_text(rows):
    batch = batches(rows, mask=None)(0)
    ids, segments = batch.tokens.ids, batch.tokens.segments
    for row in range(8):
        for place, target, weight in zip(batch.places[row], batch.targets[row], batch.weights[row], strict=True):
            follows = segments[row][place + 1] == segments[row][place] > 0
            assert weight == follows and target == (ids[row][place + 1] if follows else 0)
    assert np.array_equal(following(batch.tokens)[1], batch.targets)
