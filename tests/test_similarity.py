import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import similarity


def independent(queries, table, score):
    """Larger is nearer, in float64, straight from the definitions."""
    queries, table = queries.astype(np.float64), table.astype(np.float64)
    if score == "euclidean":
        return -np.sqrt(((queries[:, None] - table[None]) ** 2).sum(-1))
    products = queries @ table.T
    if score == "cosine":
        products /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(table, axis=1)
    return products


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0)
    return random.normal(size=(19, 24)).astype(np.float32), random.normal(size=(3000, 24)).astype(np.float32)


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
def test_scores_follow_their_definitions(vectors, score):
    queries, table = vectors
    expected = independent(queries, table, score) * (-1 if score == "euclidean" else 1)
    np.testing.assert_allclose(getattr(similarity, score)(queries, table), expected, rtol=1e-5, atol=1e-5)


def test_zero_rows_have_cosine_zero_and_no_nan():
    zeros = np.zeros((2, 3), np.float32)
    assert np.array_equal(similarity.cosine(zeros, np.eye(3, dtype=np.float32)), np.zeros((2, 3)))
    assert np.array_equal(similarity.unit(zeros), zeros)


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("k", [1, 7])
def test_top_k_is_argsort(vectors, score, k):
    queries, table = vectors
    expected = independent(queries, table, score)
    scores, index = similarity.top_k(queries, table, k, score=score, chunk=1024)
    assert np.array_equal(index, np.argsort(-expected, axis=1, kind="stable")[:, :k])
    nearest = np.sort(expected, axis=1)[:, ::-1][:, :k] * (-1 if score == "euclidean" else 1)
    np.testing.assert_allclose(scores, nearest, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [24, 300])
def test_the_chunk_does_not_change_a_bit(width):
    random = np.random.default_rng(1)
    queries = random.normal(size=(300, width)).astype(np.float32)
    table = random.normal(size=(5000, width)).astype(np.float32)
    whole = similarity.top_k(queries, table, 10, chunk=16384)
    for chunk in (64, 2000, 4096):
        parts = similarity.top_k(queries, table, 10, chunk=chunk)
        assert np.array_equal(parts[0], whole[0]) and np.array_equal(parts[1], whole[1]), chunk


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
def test_equal_scores_go_by_lower_index_across_chunks(score):
    random = np.random.default_rng(2)
    table = random.normal(size=(5, 16)).astype(np.float32)[random.integers(0, 5, 3000)]
    queries = random.normal(size=(3, 16)).astype(np.float32)
    _, index = similarity.top_k(queries, table, 700, score=score, chunk=1024)
    expected = np.argsort(-np.round(independent(queries, table, score), 4), axis=1, kind="stable")[:, :700]
    assert np.array_equal(index, expected)


def test_excluded_rows_are_not_given(vectors):
    queries, table = vectors
    order = np.argsort(-independent(queries, table, "cosine"), axis=1)
    exclude = np.concatenate([order[:, :2], np.full((len(queries), 1), -1)], axis=1)
    exclude[0] = -1
    _, index = similarity.top_k(queries, table, 3, chunk=1024, exclude=exclude)
    assert np.array_equal(index[1:], order[1:, 2:5])
    assert np.array_equal(index[0], order[0, :3])


def test_fewer_rows_than_k_are_filled_with_minus_one():
    table = np.eye(3, dtype=np.float32)
    scores, index = similarity.top_k(table[:1], table, 5, exclude=np.array([[1]]))
    assert index.tolist() == [[0, 2, -1, -1, -1]] and scores[0, 2] == -np.inf
    scores, _ = similarity.top_k(table[:1], table, 5, score="euclidean")
    assert scores[0, 3] == np.inf
    empty = similarity.top_k(table[:0], table, 2)
    assert empty[0].shape == empty[1].shape == (0, 2)


def test_a_memory_mapped_table_and_one_on_the_device_give_the_same(vectors, tmp_path):
    queries, table = vectors
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    expected = similarity.top_k(queries, table, 4, chunk=1024)
    for other in (mapped, jnp.asarray(table)):
        scores, index = similarity.top_k(queries, other, 4, chunk=1024)
        assert np.array_equal(index, expected[1]) and np.array_equal(scores, expected[0])


def test_few_programs_are_compiled(vectors):
    queries, table = vectors
    similarity._merge.clear_cache()
    for count in (9, 12, 16):
        for rows in (2000, 2500, 3000):
            similarity.top_k(queries[:count], table[:rows], 3, chunk=1000)
    assert similarity._merge._cache_size() == 1


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 1, "chunk": 0}, {"k": 1, "score": "manhattan"}])
def test_wrong_arguments_are_refused(vectors, wrong):
    with pytest.raises(ValueError, match="top_k"):
        similarity.top_k(*vectors, **wrong)
