import numpy as np
import pytest

from embeddings.corpus import marked
from embeddings.corpus.marked import Marked
from embeddings.problems import Problem


def made():
    return Marked(np.arange(9, dtype=np.int32), np.zeros(9, np.int32), np.arange(9, dtype=np.int32) % 3,
                  np.array([2, 0, 3, 4]))


def test_texts_are_made_once_and_read_in_any_order(tmp_path):
    calls = []
    for _ in range(2):
        texts = marked.stored("key", tmp_path, lambda: calls.append(1) or made())
    assert len(calls) == 1 and len(texts) == 4 and texts.tokens == 9
    some = texts.read(np.array([3, 0, 1, 3]))
    assert some.ids.tolist() == [5, 6, 7, 8, 0, 1, 5, 6, 7, 8] and some.lengths.tolist() == [4, 2, 0, 4]
    assert some.marks.tolist() == [i % 3 for i in some.ids]


def test_a_damaged_folder_is_told(tmp_path):
    folder = marked.stored("key", tmp_path, made).folder
    (folder / "marks").write_bytes(b"1234")
    with pytest.raises(Problem, match=r"damaged .*delete this folder"):
        marked.stored("key", tmp_path, made)
