import threading

import pytest

from embeddings.prefetch import AHEAD, prefetch


def test_what_is_made_comes_in_order_and_no_more_than_is_waited_for():
    made, ahead = [], []

    def make(n):
        made.append(n)
        return 10 * n

    for n, value in prefetch(make, 3, 9):
        assert value == 10 * n
        ahead.append(len(made) - (n - 3) - 1)  # made beside this one
    assert made == list(range(3, 9))
    assert max(ahead) <= AHEAD


def test_what_goes_wrong_is_told_when_it_is_asked_for():
    def make(n):
        if n == 2:
            raise ValueError("the third")
        return n

    found = []
    with pytest.raises(ValueError, match="the third"):
        found += [n for n, _ in ((found.append(n), n) for n, _ in prefetch(make, 0, 5))]
    assert found == [0, 1]


def test_a_single_one_is_made_without_a_thread():
    assert list(prefetch(lambda n: threading.current_thread(), 4, 5)) == [(4, threading.current_thread())]
    assert list(prefetch(lambda n: n, 4, 4)) == []
