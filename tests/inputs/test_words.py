"""Batches against a loop over the words of a span."""
import numpy as np
import pytest
from corpora import Text

from embeddings.inputs.words import STRETCH, Batches, alias_table, crowded, draw, keep_probability
from embeddings.problems import UsageProblem


def text(n=1000, words=40, line=7.0, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.zipf(1.4, n) - 1, words - 1).astype(np.int32)
    segments = np.cumsum(rng.random(n) < 1 / line).astype(np.int32)
    return Text(ids, segments), np.bincount(ids, minlength=words)


def make(corpus, counts, **settings):
    small = {"batch": 200, "window": 3, "block": 8, "chunk": 16, "shared_negatives": 6, "subsample": 0.05}
    return Batches(corpus, counts, **(small | {"seed": 3, "burst": 0} | settings))


def drawn(batches, n):
    """What is kept of span n, and its reaches, read from the documented stream one number at a time."""
    start = n % batches.spans * batches.batch
    ids, segments = batches.tokens.read(start, min(start + batches.batch, batches.tokens.tokens))
    random = np.random.Philox(key=np.array([batches.seed, n], np.uint64))
    keep = keep_probability(batches.counts, batches.subsample)
    coins = random.random_raw(batches.batch // 2)
    reaches = random.random_raw(batches.batch // 4)
    kept = []
    for i, word in enumerate(ids):
        coin = int(coins[i // 2]) >> 32 * (i % 2) & 0xFFFFFFFF
        if coin / 2**32 < keep[word]:
            kept.append((int(word), int(segments[i])))
    reach = [((int(reaches[i // 4]) >> 16 * (i % 4) & 0xFFFF) * batches.window >> 16) + 1 for i in range(len(kept))]
    return kept, reach


def pairs_by_loop(batches, n):
    kept, reach = drawn(batches, n)
    return [
        (kept[i][0], kept[j][0])
        for i in range(len(kept))
        for j in range(max(0, i - reach[i]), min(len(kept), i + reach[i] + 1))
        if i != j and kept[i][1] == kept[j][1]
    ]


def pairs_in(batch, window):
    found = []
    for c in range(int(batch.chunks)):
        for k in range(batch.ids.shape[1]):
            for i, (left, right) in enumerate(zip(batch.left[c, k], batch.right[c, k], strict=True)):
                ids = batch.ids[c, k, i + window - left : i + window + right + 1].tolist()
                centre = ids.pop(left)
                found += [(centre, word) for word in ids]
    return found


@pytest.mark.parametrize("n", [0, 4, 7])
@pytest.mark.parametrize("window", [1, 3, 9])
def test_a_batch_holds_the_pairs_of_its_span(n, window):
    batches = make(*text(), window=window)
    assert pairs_in(batches(n), window) == pairs_by_loop(batches, n)


def test_shapes_are_the_same_for_every_batch_and_the_last_span_is_shorter():
    corpus, counts = text(n=430)
    batches = make(corpus, counts)
    assert batches.spans == 3
    shapes = [[np.shape(a) for a in batches(n)] for n in range(3)]
    assert shapes[0] == shapes[1] == shapes[2]
    assert shapes[0][:4] == [(13, 2, 14), (13, 2, 8), (13, 2, 8), (13, 2, 6)]
    assert [int(batches(n).words) for n in range(4)] == [200, 200, 30, 200]
    assert all(a.dtype == np.int32 for a in batches(2))
    kept, _ = drawn(batches, 2)
    assert int(batches(2).chunks) == -(-len(kept) // 16)


def test_a_batch_is_a_function_of_seed_and_number():
    corpus, counts = text()
    one, again, other = make(corpus, counts)(2), make(corpus, counts)(2), make(corpus, counts, seed=4)(2)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert (one.negatives != other.negatives).any()
    later = make(corpus, counts)(2 + make(corpus, counts).spans)
    assert (later.negatives != one.negatives).any() and later.words == one.words


def test_padding_blocks_change_nothing():
    corpus, counts = text()
    plain, padded = make(corpus, counts)(1), make(corpus, counts, multiple=8)(1)
    assert padded.ids.shape == (13, 8, 14)
    for a, b in zip(plain[:4], padded[:4], strict=True):
        assert (a == b[:, :2]).all()
    assert not padded.left[:, 2:].any() and not padded.right[:, 2:].any()
    assert pairs_in(plain, 3) == pairs_in(padded, 3)


def test_a_span_of_which_nothing_is_kept_has_no_chunks():
    empty = Text(np.zeros(10, np.int32), np.arange(10, dtype=np.int32))
    batch = make(empty, np.array([10**9, 1]), subsample=1e-12)(0)
    assert batch.chunks == 0 and batch.words == 10


def test_words_stay_as_often_as_their_definition_says():
    counts = np.array([600_000, 300_000, 99_000, 990, 10])
    keep = keep_probability(counts, 1e-3)
    for count, p in zip(counts, keep, strict=True):
        f, t = count / 1e6, 1e-3
        assert p == pytest.approx(min(1.0, (np.sqrt(f / t) + 1) * t / f))
    assert (keep_probability(counts, 0.0) == 1).all()
    ids = np.repeat(np.arange(5, dtype=np.int32), 40_000)
    batch = Batches(Text(ids, np.zeros_like(ids)), counts, batch=200_000, burst=0)(0)
    centres = batch.ids[: int(batch.chunks), :, 5:-5][(batch.left + batch.right)[: int(batch.chunks)] > 0]
    seen = np.bincount(centres.ravel(), minlength=5) / 40_000
    np.testing.assert_allclose(seen, keep, atol=4 * np.sqrt(0.25 / 40_000))


def test_reach_is_uniform():
    corpus = Text(np.zeros(100_000, np.int32), np.zeros(100_000, np.int32))
    batch = Batches(corpus, np.array([100_000]), batch=100_000, subsample=0.0, burst=0)(0)
    share = np.bincount(batch.left[batch.left > 0], minlength=6)[1:] / 100_000
    inner = slice(5, 100_000 - 5)
    assert (batch.left.ravel()[inner] == batch.right.ravel()[inner]).all()
    np.testing.assert_allclose(share, 0.2, atol=4 * np.sqrt(0.16 / 100_000))


def shares(table):
    """The exact distribution that an alias table draws from."""
    own = (table >> np.uint64(32)).astype(float) / 2**32
    other = (table & np.uint64(0xFFFFFFFF)).astype(int)
    return (own + np.bincount(other, 1 - own, minlength=len(table))) / len(table)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("kind", ["zipf", "equal", "one heavy", "random"])
def test_the_alias_table_draws_the_weights(size, kind):
    weights = {
        "zipf": 1 / np.arange(1.0, size + 1),
        "equal": np.full(size, 0.3),
        "one heavy": np.concatenate([[1e6], np.ones(size - 1)]),
        "random": np.random.default_rng(size).random(size) ** 4 + 1e-9,
    }[kind]
    np.testing.assert_allclose(shares(alias_table(weights)), weights / weights.sum(), atol=1e-9)


def test_noise_words_follow_counts_to_the_power():
    counts = np.array([1000, 200, 50, 8, 1])
    ids = np.zeros(100_000, np.int32)
    batch = Batches(Text(ids, ids), counts, batch=100_000, subsample=0.0, noise_power=0.75)(0)
    noise = batch.negatives[: int(batch.chunks)].ravel()
    want = counts**0.75 / np.sum(counts**0.75)
    np.testing.assert_allclose(np.bincount(noise, minlength=5) / len(noise), want, atol=4 * np.sqrt(0.25 / len(noise)))


def test_draw_reads_the_bucket_from_the_high_and_the_share_from_the_low_half():
    table = np.array([0x8000000000000001, 0xFFFFFFFF00000001], np.uint64)
    raw = np.array([0, 0x7FFFFFFF7FFFFFFF, 0x7FFFFFFF80000000, 0x8000000000000000], np.uint64)
    assert draw(raw, table).tolist() == [0, 0, 1, 1]


def test_a_chunk_that_is_no_multiple_of_a_block_is_refused():
    with pytest.raises(UsageProblem, match=r"--word2vec\.chunk=20.*--word2vec\.block=8"):
        make(*text(), chunk=20)


def test_a_word_stands_at_most_so_often_in_a_stretch():
    ids = np.random.default_rng(0).integers(0, 9, 300).astype(np.int32)
    for most in (1, 4, 40):
        want = [np.sum(ids[i // STRETCH * STRETCH : i] == ids[i]) >= most for i in range(len(ids))]
        np.testing.assert_array_equal(crowded(ids, most), want)
    assert not crowded(np.zeros(0, np.int32), 4).size


def test_bursts_are_thinned_and_may_be_kept():
    tokens = Text(np.zeros(640, np.int32), np.zeros(640, np.int32))
    sizes = {}
    for burst in (0, 4):
        batch = Batches(tokens, np.array([640]), batch=640, subsample=0.0, burst=burst)(0)
        sizes[burst] = int(batch.chunks)
    assert sizes == {0: 10, 4: 1}
