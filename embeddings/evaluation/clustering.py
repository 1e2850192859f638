"""Clustering: do texts of the same label come together?

    homogeneity h = 1 - H(label | cluster) / H(label)    completeness c = 1 - H(cluster | label) / H(cluster)
    v-measure   = 2 h c / (h + c)                                   (Rosenberg & Hirschberg 2007)

of as many clusters as there are labels, found by mini-batch k-means with batches of 500 rows, as MTEB's package has it
(its paper says 32). MTEB takes the mean over ten drawn sets, which are not published apart; here it is the mean over
ten seeds of k-means on the whole set, the first of which is MTEB's 42.
"""
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from embeddings.evaluation import scores
from embeddings.evaluation.classification import one_thread
from embeddings.evaluation.labelled import LabelledSet
from embeddings.evaluation.scores import Encode, Result, Score
from embeddings.evaluation.table import Table

SETS = ("20 Newsgroups subjects", "20 Newsgroups messages")
SEEDS = tuple(range(42, 52))


def clusters(
    vectors: Float[np.ndarray, "n D"], count: int, seed: int = SEEDS[0], batch: int = 500
) -> Int[np.ndarray, "n"]:
    """The cluster of each row, from 0, by mini-batch k-means."""
    from sklearn.cluster import MiniBatchKMeans

    with one_thread():
        return MiniBatchKMeans(count, batch_size=batch, n_init="auto", random_state=seed).fit(vectors).labels_


def evaluate(
    encode: Encode, sets: Sequence[LabelledSet], method: str = "encoder", seeds: Sequence[int] = SEEDS
) -> Result:
    """The v-measure of the test parts, and its standard deviation over the seeds."""
    from sklearn.metrics import v_measure_score

    measured = []
    for one in sets:
        vectors, covered = scores.encoded(encode, one.test.texts)
        count = len(set(one.test.labels))
        found = [v_measure_score(one.test.labels, clusters(vectors, count, seed)) for seed in seeds]
        of = int(covered.sum()), len(covered)
        measured += [Score(one.name, "v-measure", float(np.mean(found)), *of),
                     Score(one.name, "v-measure, deviation", float(np.std(found)), *of)]
    return Result(method, tuple(measured))


def table(results: Sequence[Result]) -> Table:
    """A row a set and measure."""
    note = "v-measure of mini-batch k-means with as many clusters as labels, mean of 10 seeds, times 100."
    return scores.table("Clustering", results, "texts", (note,))
