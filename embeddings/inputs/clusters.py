"""Where the clusters of an adaptive softmax begin: where it costs least.

Grave, Joulin, Cisse, Grangier, Jegou (2017), "Efficient softmax approximation for GPUs", sections 4.2 and 4.3: words go
into clusters by falling frequency, and limits are those at which a step costs least, found by dynamic programming. A
cluster is scored for those centres alone that predict one of its words: of a centre that predicts m words, with the
share P_t of centres that cluster t of n_t words is scored for,

    cost = n_0 + sum_t P_t n_t,     P_t = 1 - (1 - p_t)^m,     p_t the share of the text that is in cluster t

That rare words are given fewer dimensions comes on top, as in the paper: counted here, it would shrink the head.

Shapes: V words, L limits to choose from.
"""
import numpy as np
from jaxtyping import Float

CHOICES = 64
"""Limits to choose from: ranks that grow by a factor."""


def limits(shares: Float[np.ndarray, "V"], clusters: int, predicted: float) -> tuple[int, ...]:
    """The first word of each cluster, then V; fewer clusters than asked for where there are too few words.

    Args:
        shares: how much of the text each word is, falling; they need not add up to 1.
        clusters: how many.
        predicted: words that a centre predicts, on the mean.
    """
    V = len(shares)
    ends = np.unique(np.geomspace(1, V, CHOICES).astype(int)) if V > CHOICES else np.arange(1, V + 1)
    before = np.concatenate([[0.0], np.cumsum(shares)])[ends] / np.sum(shares)
    scored = 1 - (1 - np.clip(before - before[:, None], 0, 1)) ** predicted
    size = ends - ends[:, None]
    cost = np.where(size > 0, scored * size, np.inf)  # [L, L] of the words from one limit to another
    best, choices = np.where(ends == V, 0.0, np.inf), []
    for _ in range(min(clusters, len(ends) - 1)):
        choices.append(np.argmin(cost + best, axis=1))
        best = np.min(cost + best, axis=1)
    at = int(np.argmin(ends + best))
    found = [int(ends[at])]
    for choice in reversed(choices):
        at = int(choice[at])
        found.append(int(ends[at]))
    return tuple(found)
