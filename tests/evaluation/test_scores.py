import warnings

import numpy as np
import pytest

from embeddings.evaluation import scores
from embeddings.evaluation.scores import Result, Score
from embeddings.evaluation.table import KEYS

FIRST = Result("mean", (Score("A", "accuracy", 0.5, 3, 4), Score("B", "accuracy", 0.25, 5, 6)))
SECOND = Result("sif", (Score("A", "accuracy", 0.75, 3, 4), Score("B", "accuracy", None, 5, 6)))


def test_rows_and_scores_say_the_same():
    assert FIRST.scores() == {"A accuracy mean": 0.5, "B accuracy mean": 0.25}
    assert SECOND.scores() == {"A accuracy sif": 0.75}, "what is undefined is left out"
    row = SECOND.rows()[1]
    assert tuple(row) == KEYS and list(row.values()) == ["B", "accuracy", "sif", None, None, 5, 6]
    assert FIRST.value("B", "accuracy") == 0.25
    with pytest.raises(KeyError):
        FIRST.value("B", "F1")


def test_results_stand_side_by_side():
    table = scores.table("Title", [FIRST, SECOND], "texts", ("note",), "average of 2")
    assert table.columns == ("set", "measure", "mean", "sif", "texts covered", "texts")
    assert table.rows[0] == ("A", "accuracy", 50, 75, 3, 4) and table.rows[1][3] is None
    assert table.rows[2] == ("average of 2", "accuracy", 37.5, None, 8, 10)
    assert len(scores.table("Title", [FIRST], "texts", ()).rows) == 2


def test_blank_texts_get_zeros_without_being_encoded():
    def encode(texts):
        return np.array([[len(text), 1] for text in texts if text.strip() or 1 / 0], np.float32)

    vectors, covered = scores.encoded(encode, ["abc", " ", "a", ""])
    assert vectors.tolist() == [[3, 1], [0, 0], [1, 1], [0, 0]] and covered.tolist() == [True, False, True, False]


def test_texts_that_get_zeros_are_counted_not_warned_of():
    def encode(texts):
        warnings.warn("1 of 2 texts have no known word: zeros", stacklevel=1)
        return np.array([[0, 0], [0, 1]], np.float32)

    vectors, covered = scores.encoded(encode, ["a", "b"])
    assert vectors.shape == (2, 2) and covered.tolist() == [False, True]
