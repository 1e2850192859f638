"""Huffman trees against the plain algorithm, and against the authors' loop for the very codes."""
import heapq
import itertools

import numpy as np
import pytest

from embeddings.inputs.huffman import TOP, tree
from embeddings.problems import Problem

COUNTS = {
    "zipf": (10_000 / np.arange(1, 301)).astype(np.int64),
    "equal": np.full(100, 7),
    "ties": np.repeat([9, 5, 5, 2, 1], [3, 20, 5, 40, 60]),
    "falling by half": 2 ** np.arange(40, -1, -1),
    "two": np.array([5, 3]),
    "three": np.array([5, 5, 5]),
}


@pytest.fixture(params=COUNTS, ids=str)
def counts(request):
    return np.asarray(COUNTS[request.param], np.int64)


def codes(made):
    """For each word its (node, code) from the root down."""
    rows = made.paths(np.arange(made.words))
    return [[(int(turn) >> 1, int(turn) & 1) for turn in row[::-1] if turn >= 0] for row in rows]


def authors(counts):
    """The same by the loop of word2vec's CreateBinaryTree, over words from the most frequent on."""
    V = len(counts)
    count, parent, binary = [*counts.tolist(), *[1 << 60] * V], [0] * 2 * V, [0] * 2 * V
    leaf, inner = V - 1, V
    for a in range(V - 1):
        two = []
        for _ in range(2):
            if leaf >= 0 and count[leaf] < count[inner]:
                two.append(leaf)
                leaf -= 1
            else:
                two.append(inner)
                inner += 1
        count[V + a] = count[two[0]] + count[two[1]]
        parent[two[0]] = parent[two[1]] = V + a
        binary[two[1]] = 1
    found = []
    for word in range(V):
        path, node = [], word
        while node != 2 * V - 2:
            path.append((2 * V - 2 - parent[node], binary[node]))
            node = parent[node]
        found.append(path[::-1])
    return found


def test_codes_and_nodes_are_those_of_the_authors_program(counts):
    assert codes(tree(counts)) == authors(counts)


def test_the_code_is_as_short_as_any(counts):
    """Counts times lengths add up to what the textbook's algorithm merges; and each code ends at a word of its own."""
    made = codes(tree(counts))
    heap, cost = counts.tolist(), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    lengths = [len(path) for path in made]
    assert sum(n * length for n, length in zip(counts.tolist(), lengths, strict=True)) == cost
    assert sum(2.0**-length for length in lengths) == 1
    bits = {tuple(code for _, code in path) for path in made}
    assert len(bits) == len(counts)
    assert not any(one[:end] in bits for one in bits for end in range(len(one)))


def test_nodes_are_numbered_from_the_root_by_what_hangs_below(counts):
    below = np.zeros(len(counts) - 1, np.int64)
    for path, count in zip(codes(tree(counts)), counts.tolist(), strict=True):
        assert path[0][0] == 0 and all(a < b for (a, _), (b, _) in itertools.pairwise(path))
        for node, _ in path:
            below[node] += count
    assert (np.diff(below) <= 0).all() and below[0] == counts.sum()


def test_the_top_is_a_dense_form_of_the_first_nodes(counts):
    made = tree(counts)
    tops, T = made.tops(), made.top
    assert tops.shape == (2 * T, 2, T) and min(TOP, len(counts) - 1) == T
    longest = 0
    for path in codes(made):
        above = [(node, code) for node, code in path if node < T]
        node, code = above[-1]
        on, left = tops[2 * node + code]
        assert np.flatnonzero(on).tolist() == [n for n, _ in above]
        assert np.flatnonzero(left).tolist() == [n for n, c in above if not c]
        longest = max(longest, len(path) - len(above))
    assert made.below.length.max() == longest
    for word, path in enumerate(made.paths(np.arange(made.words))):
        start, length = made.below.starts[word], made.below.length[word]
        assert made.below.turns[start : start + length].tolist() == path[:length].tolist()
        assert all(path[:length] >> 1 >= T) and path[length] == made.below.exits[word] < 2 * T


def test_the_order_of_words_does_not_matter():
    counts = np.array([3, 50, 1, 7, 20])
    lengths = [len(path) for path in codes(tree(counts))]
    assert lengths == [4, 1, 4, 3, 2]


def test_paths_are_read_from_the_word_up():
    made = tree(np.array([4, 2, 1]))
    assert made.up.tolist() == [1, 3, 2, -1, 0]
    assert made.paths(np.array([0, 2, 2])).tolist() == [[1, -1], [2, 0], [2, 0]]


def test_fewer_than_two_words_make_no_tree():
    with pytest.raises(Problem, match=r"needs two different words: .*--vocabulary\.min_count"):
        tree(np.array([5]))
