"""Special tokens put around texts, against a loop over texts."""
import numpy as np
import pytest

from embeddings.tokenizers.frames import FIRST, SECOND, Part, Ragged, framed, joined

A, B = Part(FIRST), Part(SECOND, 1)
BERT = (Part(101), A, Part(102), B, Part(102, 1))
ROBERTA = (Part(0), A, Part(2), Part(2), Part(SECOND), Part(2))
TURNED = (B, Part(5, 3), Part(6), A)


def drawn(lengths, seed) -> Ragged:
    draw = np.random.default_rng(seed)
    starts = np.cumsum([0, *lengths])
    ids, spans = draw.integers(1000, 2000, starts[-1]), draw.integers(0, 99, (starts[-1], 2))
    return Ragged(ids.astype(np.int32), starts, spans.astype(np.int32))


@pytest.mark.parametrize("frame", [BERT, ROBERTA, TURNED, (A,), (A, Part(9)), (Part(7), *BERT[1:2])])
def test_each_text_stands_in_its_frame(frame):
    texts = [drawn([3, 0, 5, 1, 0], 0), drawn([0, 0, 2, 4, 1], 1)]
    sides = texts if any(part.id == SECOND for part in frame) else texts[:1]
    got = framed(frame, *sides)
    assert len(got) == 5 and got.starts[0] == 0 and got.starts[-1] == len(got.ids) == len(got.types)
    for i in range(5):
        rows = []
        for part in frame:
            if part.id >= 0:
                rows.append((part.id, part.type, True, 0, 0))
                continue
            text = texts[0 if part.id == FIRST else 1]
            for at in range(text.starts[i], text.starts[i + 1]):
                rows.append((text.ids[at], part.type, False, *text.offsets[at]))
        own = slice(got.starts[i], got.starts[i + 1])
        found = zip(got.ids[own], got.types[own], got.special[own], *got.offsets[own].T, strict=True)
        assert [tuple(map(int, row)) for row in found] == [tuple(map(int, row)) for row in rows]
        assert got.lengths[i] == len(rows)


def test_offsets_are_none_where_nobody_asked():
    assert framed((Part(1), A), Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64), None)).offsets is None


def test_portions_are_joined_in_order():
    whole = drawn([3, 0, 5, 1], 0)
    cut = int(whole.starts[2])
    halves = [Ragged(whole.ids[:cut], whole.starts[:3], whole.offsets[:cut]),
              Ragged(whole.ids[cut:], whole.starts[2:] - cut, whole.offsets[cut:])]
    for got, expected in zip(joined(halves, offsets=True), whole, strict=True):
        np.testing.assert_array_equal(got, expected)
    nothing = joined([], offsets=True)
    assert nothing.ids.shape == (0,) and nothing.starts.tolist() == [0] and nothing.offsets.shape == (0, 2)
    assert joined([], offsets=False).offsets is None
