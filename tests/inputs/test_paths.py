"""Paths of centres laid out in slabs, against the paths themselves."""
import dataclasses

import numpy as np
import pytest
from corpora import Text

from embeddings.inputs import paths
from embeddings.inputs.huffman import tree
from embeddings.inputs.paths import SHORTEST, SLAB, SPAN, PathBatches, PathChunk, blocks
from embeddings.inputs.words import Batches

V = 300


def make(rare=False, **settings):
    """Batches over text by Zipf's law, or of its rarest words, whose paths are the longest."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.2, 2000) - 1, V - 1).astype(np.int32)
    counts = np.sort(np.bincount(ids, minlength=V) + 1)[::-1] ** 3
    if rare:
        ids = rng.integers(V - 30, V, 2000).astype(np.int32)
    segments = np.cumsum(rng.random(2000) < 0.1).astype(np.int32)
    small = {"batch": 500, "window": 3, "block": 16, "chunk": 32, "subsample": 0.0, "burst": 0, "seed": 3}
    return PathBatches(Batches(Text(ids, segments), counts, **(small | settings)), tree(counts))


def below_the_top(batches, word):
    """The turns of a word from the last up, those of the top left out; then the turn at which it leaves the top."""
    turns = [turn for turn in batches.huffman.paths(np.array([word]))[0].tolist() if turn >= 0]
    below = [turn for turn in turns if turn >> 1 >= batches.huffman.top]
    return below, turns[len(below)]


def blocks_by_loop(batches, kept):
    """(first centre, one past the last) of each block: B centres, or no room for the next path."""
    found, start, used = [], 0, 0
    for i, word in enumerate(kept.ids):
        turns = len(below_the_top(batches, word)[0]) if kept.left[i] + kept.right[i] else 0
        if i - start == batches.windows.block or used + max(turns, SHORTEST) > batches.room:
            found.append((start, i))
            start, used = i, 0
        used += max(turns, SHORTEST)
    return [*found, (start, len(kept.ids))]


@pytest.mark.parametrize("rare", [False, True], ids=["text", "rare words"])
@pytest.mark.parametrize("n", [0, 3, 5])
def test_each_centre_has_its_window_and_all_turns_of_its_path(n, rare):
    batches = make(rare)
    kept, batch, filled = batches.windows.kept(n), batches(n), batches.shape[1]
    edges = blocks_by_loop(batches, kept)
    B, W = batches.windows.block, batches.windows.window
    halo = np.pad(kept.ids, (W, B + W))
    assert batch.words == kept.words and batch.chunks == -(-len(edges) // filled)
    for number, (start, stop) in enumerate(edges):
        chunk, k = PathChunk(*(a[number // filled] for a in batch[:9])), number % filled
        assert chunk.ids[k].tolist() == halo[start : start + B + 2 * W].tolist()
        walked = {place: [] for place in range(B)}
        for s, e in zip(*np.nonzero(chunk.lefts[k] + chunk.rights[k]), strict=True):
            place = int(chunk.starts[k, s] + chunk.centres[k, s, e])
            assert 0 <= chunk.centres[k, s, e] < SPAN
            assert (chunk.lefts[k, s, e], chunk.rights[k, s, e]) == (chunk.left[k, place], chunk.right[k, place])
            walked[place].append(int(chunk.turns[k, s, e]))
        for place, i in enumerate(range(start, stop)):
            below, leaves = below_the_top(batches, kept.ids[i])
            assert (chunk.left[k, place], chunk.right[k, place]) == (kept.left[i], kept.right[i])
            assert walked.pop(place) == (below if kept.left[i] + kept.right[i] else [])
            assert chunk.exits[k, place] == leaves
        assert not any(walked.values())
        assert not chunk.left[k, stop - start :].any() and not chunk.right[k, stop - start :].any()


def test_a_block_ends_where_there_is_no_room():
    ends = np.array([0, 5, 10, 30, 36, 41, 46, 51])
    assert blocks(ends, most=4, room=32).tolist() == [0, 3, 7]
    assert blocks(ends, most=4, room=20).tolist() == [0, 2, 3, 6, 7]
    assert blocks(ends, most=1, room=64).tolist() == list(range(8))
    assert blocks(np.array([0]), most=4, room=32).tolist() == [0]


def test_long_paths_have_room_and_more_chunks():
    usual, long = make(), make(rare=True)
    assert long.huffman.below.length.max() > paths.ROOM
    assert usual.room % SLAB == 0 and usual.room >= usual.huffman.below.length.max()
    for batches in (usual, long):
        shapes = {tuple(np.shape(a) for a in batches(n)) for n in range(4)}
        assert len(shapes) == 1
        assert max(int(batches(n).chunks) for n in range(4)) <= batches.shape[0]
    assert long(0).chunks > usual(0).chunks


def test_a_batch_is_a_function_of_its_number_and_padding_for_devices_adds_nothing():
    one, again, four = make()(1), make()(1), make(multiple=4)(1)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert four.ids.shape[1] == 4
    for a, b in zip(one[:9], four[:9], strict=True):
        assert (a == b[:, :2]).all() and not b[:, 2:].any()


def test_a_span_of_lone_words_predicts_nothing():
    batches = make()
    alone = dataclasses.replace(batches.windows.tokens, segments=np.arange(2000, dtype=np.int32))
    batch = dataclasses.replace(batches, windows=dataclasses.replace(batches.windows, tokens=alone))(0)
    assert not any(a.any() for a in (batch.left, batch.right, batch.lefts, batch.rights))
    nothing = make(subsample=1e-15)(0)
    assert nothing.chunks <= 1
