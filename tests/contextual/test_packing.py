"""Texts in rows of few lengths: every token is once in a call, in its order, with its neighbours."""
import numpy as np
import pytest

from embeddings.contextual.packing import Packer


def ragged(lengths, seed=0):
    """Ids that tell every token from every other, types, starts."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(1, starts[-1] + 1, dtype=np.int32)
    return ids, np.random.default_rng(seed).integers(0, 2, len(ids)).astype(np.int32), starts


LENGTHS = {
    "mixed": np.random.default_rng(1).integers(1, 101, 60),
    "one": np.array([5]),
    "short": np.full(300, 2),
    "longest": np.array([100, 100, 1, 99]),
}


@pytest.mark.parametrize("multiple", [1, 3])
@pytest.mark.parametrize("name", LENGTHS)
def test_every_token_is_where_its_text_is(name, multiple):
    lengths = LENGTHS[name]
    ids, types, starts = ragged(lengths)
    packer, seen = Packer.of(100, 256, multiple), []
    for call in packer.calls(ids, types, starts):
        B, T = call.tokens.ids.shape
        assert (T in packer.tiers or len(lengths) == 1) and B % multiple == 0
        for row, slot in zip(*np.nonzero(call.texts >= 0), strict=True):
            text = call.texts[row, slot]
            mine = np.flatnonzero(call.tokens.segments[row] == slot + 1)
            span = slice(starts[text], starts[text + 1])
            np.testing.assert_array_equal(mine, np.arange(mine[0], mine[0] + lengths[text]), "in one piece")
            np.testing.assert_array_equal(call.tokens.ids[row, mine], ids[span])
            np.testing.assert_array_equal(call.tokens.types[row, mine], types[span])
            np.testing.assert_array_equal(call.tokens.positions[row, mine], np.arange(lengths[text]))
            seen.append(text)
        assert (call.tokens.ids > 0).sum() == lengths[call.texts[call.texts >= 0]].sum()
        np.testing.assert_array_equal(call.counted, call.tokens.segments)
    assert sorted(seen) == list(range(len(lengths)))


def test_few_shapes_and_little_padding():
    lengths = np.minimum(np.random.default_rng(0).geometric(1 / 30, 2000) + 2, 256)
    shapes, places = set(), 0
    for call in Packer.of(256).calls(*ragged(lengths)):
        shapes.add(call.tokens.ids.shape)
        places += call.tokens.ids.size
    assert len(shapes) <= 3 and lengths.sum() / places > 0.95
    assert Packer.of(256).tiers == (64, 128, 256) and Packer.of(24).tiers == (24,) and Packer.of(77).tiers == (64, 77)


def test_one_text_is_a_row_of_its_own():
    (call,) = Packer.of(256, 1024).calls(*ragged([40]))
    assert call.tokens.ids.shape == (1, 64)
    (call,) = Packer.of(256, 1024, 2).calls(*ragged([65]))
    assert call.tokens.ids.shape == (2, 128), "a row for each device"
    for lengths, T in (([9], 16), ([17], 32), ([2] * 5, 32), ([1] * 16, 64), ([0], 16)):
        (call,) = Packer.of(256).calls(*ragged(lengths))
        assert call.tokens.ids.shape == (1, T)
        assert sorted(call.texts[call.texts >= 0]) == list(range(len(lengths)))


def test_the_tokens_of_a_prompt_do_not_count():
    (call,) = Packer.of(24).calls(*ragged([7, 5]), skipped=np.array([3, 0]))
    counted = [call.counted[call.tokens.segments == s] for s in (1, 2)]
    assert [c.tolist() for c in counted] == [[0, 0, 0, 1, 1, 1, 1], [2] * 5]
