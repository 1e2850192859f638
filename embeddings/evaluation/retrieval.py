"""Retrieval: do the documents that people found relevant stand first when all are ranked by cosine with the query?

With grades g, documents d_1, d_2, ... as ranked and R relevant ones (grade 1 or more), a query's measures are

    nDCG@10    DCG / largest possible DCG,   DCG = sum over i <= 10 of g(d_i) / log2(i + 1)
    MRR@10     1 / i of the first relevant document d_i, 0 where there is none with i <= 10
    Recall@10  relevant documents among the first 10 / R
    MAP        sum over relevant d_i, i <= 1000, of (relevant documents among the first i) / i / R

as trec_eval has them, and MTEB, whose main score is nDCG@10. Means are over the queries with a relevant document. The
ranking is exact; of equal scores the document that stands first in the collection is first.
"""
import functools
import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from embeddings import similarity
from embeddings.evaluation import scores
from embeddings.evaluation.judged import Collection
from embeddings.evaluation.scores import Encode, Result, Score
from embeddings.evaluation.table import Table
from embeddings.problems import Problem

DEPTH = 1000
"""Documents that are ranked a query."""
TOP = 10
MEASURES = ("nDCG@10", "MRR@10", "Recall@10", "MAP")


def nearest(
    queries: Float[np.ndarray, "Q D"], documents: Float[np.ndarray, "V D"], collection: Collection, depth: int = DEPTH
) -> Int[np.ndarray, "Q k"]:
    """The documents of the largest cosine with each query, padded with -1."""
    depth = min(depth, len(documents))
    return similarity.top_k(queries, documents, depth, exclude=collection.left_out)[1]


def bm25(collection: Collection, depth: int = DEPTH) -> Int[np.ndarray, "Q k"]:
    """The documents of the largest BM25 score for each query, those with a word in common, padded with -1, by bm25s.

    Lucene's variant with k1 = 1.5 and b = 0.75; words are runs of two letters or digits and more, in lower case,
    without English stop words, stemmed by Snowball (on NPL that is worth a quarter of nDCG). Raises Problem where the
    extra [retrieval] is not installed.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise Problem(f"BM25 needs {error.name}: pip install 'embeddings[retrieval]'") from None
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    cut = functools.partial(bm25s.tokenize, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(cut(list(collection.documents)), show_progress=False)
    wanted = min(depth + collection.left_out.shape[1], len(collection.documents))
    found, score = index.retrieve(cut(list(collection.queries), return_ids=False), k=wanted, show_progress=False)
    allowed = (score > 0) & ~(found[:, :, None] == collection.left_out[:, None, :]).any(axis=2)
    order = np.argsort(~allowed, axis=1, kind="stable")[:, :depth]
    found, allowed = (np.take_along_axis(part, order, axis=1) for part in (found, allowed))
    return np.where(allowed, found, -1).astype(np.int32)


def measures(ranking: Int[np.ndarray, "Q k"], collection: Collection) -> dict[str, Float[np.ndarray, "Q"]]:
    """The four measures of each query; NaN where nothing is relevant to it."""
    grades = collection.grades
    gains = np.where(ranking < 0, 0, grades[np.arange(len(ranking))[:, None], np.maximum(ranking, 0)].toarray())
    hits, places = gains > 0, np.arange(1, ranking.shape[1] + 1)
    relevant = np.where(grades.count_nonzero(axis=1) > 0, grades.count_nonzero(axis=1), np.nan)
    first = np.where(hits[:, :TOP].any(axis=1), hits[:, :TOP].argmax(axis=1) + 1, np.inf)
    precision = np.cumsum(hits, axis=1) / places
    return {
        "nDCG@10": _discounted(gains[:, :TOP]) / np.where(relevant > 0, _discounted(_ideal(collection)), np.nan),
        "MRR@10": np.where(relevant > 0, 1 / first, np.nan),
        "Recall@10": hits[:, :TOP].sum(axis=1) / relevant,
        "MAP": (precision * hits).sum(axis=1) / relevant,
    }


def _discounted(gains: Int[np.ndarray, "Q k"]) -> Float[np.ndarray, "Q"]:
    return gains @ (1 / np.log2(np.arange(2, gains.shape[1] + 2)))


def _ideal(collection: Collection) -> Int[np.ndarray, "Q 10"]:
    """The highest grades of each query, sorted."""
    found = np.zeros((len(collection.queries), TOP), np.int32)
    for row, grades in zip(found, np.split(collection.grades.data, collection.grades.indptr[1:-1]), strict=True):
        best = np.sort(grades)[::-1][:TOP]
        row[: len(best)] = best
    return found


def evaluate(encode: Encode, collections: Sequence[Collection], method: str = "encoder") -> Result:
    """The measures of all collections, ranked by cosine; a collection is encoded in one call, queries first."""
    measured = []
    for one in collections:
        vectors, covered = scores.encoded(encode, [*one.queries, *one.documents])
        queries, documents = np.split(vectors, [len(one.queries)])
        measured += _scores(one, nearest(queries, documents, one), int(covered[: len(one.queries)].sum()))
    return Result(method, tuple(measured))


def evaluate_bm25(collections: Sequence[Collection]) -> Result:
    """The measures of all collections, ranked by BM25. Raises Problem without the extra [retrieval]."""
    return Result("BM25", tuple(score for one in collections for score in _scores(one, bm25(one), len(one.queries))))


def beside_baselines(
    encode: Encode, word_vectors: Encode, collections: Sequence[Collection], method: str = "encoder"
) -> tuple[Result, Result, Result]:
    """A model, mean word vectors and BM25 on the same collections: what table() shows side by side.

    Raises Problem without the extra [retrieval].
    """
    return (evaluate(encode, collections, method), evaluate(word_vectors, collections, "mean word vectors"),
            evaluate_bm25(collections))


def _scores(one: Collection, ranking: Int[np.ndarray, "Q k"], covered: int) -> list[Score]:
    found = measures(ranking, one)
    return [Score(one.name, name, float(np.nanmean(found[name])), covered, len(one.queries)) for name in MEASURES]


def table(results: Sequence[Result]) -> Table:
    """A row a collection and measure."""
    note = ("Means over queries, times 100: nDCG with graded gains, reciprocal rank of the first relevant document, "
            "recall, average precision of the first 1,000.")
    return scores.table("Retrieval", results, "queries", (note,))
