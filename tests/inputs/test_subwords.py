"""Layouts by rows against the windows that they are made of."""
import numpy as np
import pytest
from corpora import Text

from embeddings.inputs.subwords import SubwordBatches, block_edges, stretches
from embeddings.inputs.words import Batches
from embeddings.tokenizers.subwords import Rows

V = 40


def table(longest=12):
    """Words of 1 to `longest` rows, all different."""
    counts = np.random.default_rng(1).integers(1, longest + 1, V)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Rows(starts, np.arange(starts[-1], dtype=np.int32) + 7, np.arange(3))


def make(context, rows=None, **settings):
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.4, 1000) - 1, V - 1).astype(np.int32)
    segments = np.cumsum(rng.random(1000) < 0.1).astype(np.int32)
    small = {"batch": 200, "window": 3, "block": 8, "chunk": 16, "shared_negatives": 6, "subsample": 0.05, "seed": 3}
    windows = Batches(Text(ids, segments), np.bincount(ids, minlength=V), **(small | settings))
    return SubwordBatches(windows, rows or table(), context)


def blocks_by_loop(sizes, block, margin, places):
    """(first centre, one past the last) of each block."""
    found, start = [], 0
    while start < len(sizes):
        stop = start + 1
        while (
            stop < len(sizes) and stop - start < block
            and sum(sizes[max(start - margin, 0) : stop + 1 + margin]) <= places
        ):
            stop += 1
        found.append((start, stop))
        start = stop
    return found


@pytest.mark.parametrize("context", [False, True], ids=["centres", "context"])
@pytest.mark.parametrize("n", [0, 4, 6])
def test_every_word_is_a_centre_once_and_has_its_rows(context, n):
    batches = make(context)
    batch, kept, w = batches(n), batches.windows.kept(n), batches.windows
    margin, table = (w.window if context else 0), batches.table
    sizes = [int(table.starts[word + 1] - table.starts[word]) for word in kept.ids]
    blocks = blocks_by_loop(sizes, w.block, margin, batch.rows.shape[2])
    assert any(stop - start < w.block for start, stop in blocks[:-1]) or len(blocks) == 1
    assert batch.chunks == -(-len(blocks) // 2) and batch.rows.shape[2] == batches.places
    halo = np.concatenate([np.zeros(w.window, int), kept.ids, np.zeros(w.window + w.block, int)])
    for number, (start, stop) in enumerate(blocks):
        chunk, k = batch.chunk(number // 2), number % 2
        assert chunk.ids[k].tolist() == halo[start : start + w.block + 2 * w.window].tolist()
        for reach, wanted in ((chunk.left, kept.left), (chunk.right, kept.right)):
            assert reach[k].tolist() == wanted[start:stop].tolist() + [0] * (w.block - (stop - start))
        read = [(i + margin, kept.ids[start + i]) for i in range(-margin, stop - start + margin)
                if 0 <= start + i < len(kept.ids)]
        rows = [(place, row) for place, v in read for row in table.rows[table.starts[v] : table.starts[v + 1]]]
        W, E = w.block + 2 * margin, batch.rows.shape[2]
        assert list(zip(chunk.owner[k].tolist(), chunk.rows[k].tolist(), strict=True)) == [
            *rows, *[(W, 0)] * (E - len(rows))
        ]
        for place, v in read:
            assert chunk.counts[k, place] == table.starts[v + 1] - table.starts[v]
    rest = [a.reshape(-1, *a.shape[2:])[len(blocks) :] for a in batch[1:7]]
    assert all((a == fill).all() for a, fill in zip(rest[:2], (0, 0), strict=True))
    assert (rest[4] == w.block + 2 * margin).all() and (rest[5] == 1).all()


def test_what_is_drawn_is_drawn_for_the_blocks_and_again_the_same():
    batches = make(False)
    one, other = batches(2), batches(2)
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert (batches(3).negatives != one.negatives).any() and one.negatives[: one.chunks - 1].any()
    assert one.negatives.min() >= 0 and one.negatives.max() < V


def test_blocks_are_padded_for_devices_and_nothing_else_changes():
    one, four = make(True)(1), make(True, multiple=4)(1)
    assert four.ids.shape[1] == 4
    for a, b in zip(one[:7], four[:7], strict=True):
        assert (a == b[:, :2]).all()
    assert not four.left[:, 2:].any() and (four.owner[:, 2:] == four.counts.shape[2]).all()


def test_a_batch_that_needs_more_is_larger_and_loses_nothing():
    """One word with far more rows than a block has places, and a span of nothing but long words."""
    usual = table()
    counts = np.diff(usual.starts)
    for long in ([5], list(range(3, V))):
        grown = counts.copy()
        grown[long] = 500 if len(long) == 1 else 60
        starts = np.concatenate([[0], np.cumsum(grown)])
        batches = make(False, Rows(starts, np.arange(starts[-1], dtype=np.int32), np.arange(3)))
        vars(batches)["places"] = 64  # as if running text had few rows
        batch = batches(0)
        kept = batches.windows.kept(0)
        used = batch.owner < batch.counts.shape[2]
        assert np.count_nonzero(used) == sum(grown[word] for word in kept.ids)
        assert batch.rows.shape[2] == (512 if len(long) == 1 else 64)
        assert batch.chunks <= batch.ids.shape[0]
    assert batch.ids.shape[0] > -(-200 // 16)


def test_a_span_may_keep_no_word():
    batches = make(True, subsample=1e-12)
    assert batches(0).chunks <= 1 and batches(0).owner.min() <= batches(0).counts.shape[2]
    assert block_edges(np.zeros(1, np.int64), 8, 3, 64).tolist() == [0]


def test_stretches_are_cut_out_of_a_padded_row():
    row = np.arange(1, 6, dtype=np.int32)
    assert stretches(row, np.array([-2, 3, 5]), 4, 9).tolist() == [[9, 9, 1, 2], [4, 5, 9, 9], [9, 9, 9, 9]]
