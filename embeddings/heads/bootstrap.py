"""How sure a difference of two scores is: both taken on the same resampled items (Efron and Tibshirani 1993).

Items (pairs, queries, texts) are drawn with replacement, as many as there are; a difference's interval is between the
2.5 % and 97.5 % quantiles of its values over the draws, and its p is that of a normal distribution with their standard
deviation. Of many differences, those are called significant that Benjamini and Hochberg's procedure (1995) keeps at a
false discovery rate of 5 %.

Shapes: R draws, m items, n differences.
"""
import dataclasses

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int

RATE = 0.05


def draws(items: int, times: int, seed: int = 0) -> Int[np.ndarray, "R m"]:
    """How often each item is in each draw."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, items, (times, items)) + items * np.arange(times)[:, None]
    return np.bincount(drawn.ravel(), minlength=times * items).reshape(times, items)


def means(values: Float[np.ndarray, "m"], weights: Int[np.ndarray, "R m"]) -> Float[np.ndarray, "R"]:
    """The mean of each draw; items that are NaN are left out."""
    known = ~np.isnan(values)
    return (weights[:, known] @ values[known]) / np.maximum(weights[:, known].sum(axis=1), 1)


def correlations(
    x: Float[np.ndarray, "m"], y: Float[np.ndarray, "m"], weights: Int[np.ndarray, "R m"]
) -> Float[np.ndarray, "R"]:
    """Spearman's rho of each draw, ranks taken among what was drawn; 0 where all of it is alike."""
    total = weights.sum(axis=1, keepdims=True)
    a, b = (ranks(values, weights) - (total + 1) / 2 for values in (x, y))
    scale = np.sqrt(np.sum(weights * a * a, axis=1) * np.sum(weights * b * b, axis=1))
    return np.sum(weights * a * b, axis=1) / np.where(scale > 0, scale, 1)


def ranks(values: Float[np.ndarray, "m"], weights: Int[np.ndarray, "R m"]) -> Float[np.ndarray, "R m"]:
    """Ranks from 1 of items that stand there `weights` times; equal values share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    _, which = np.unique(values[order], return_inverse=True)
    last = np.flatnonzero(np.diff(which, append=which[-1] + 1))
    up_to = np.cumsum(weights[:, order], axis=1)[:, last]
    here = np.diff(up_to, axis=1, prepend=0)
    out = np.empty(weights.shape)
    out[:, order] = (up_to - (here - 1) / 2)[:, which]
    return out


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of scores, and how sure it is."""

    value: float
    low: float
    high: float
    p: float


def difference(
    value: float, base: Float[np.ndarray, "R"], other: Float[np.ndarray, "R"]
) -> Difference:
    """`value` is other - base on all items; base and other are scores of the same draws."""
    drawn = other - base
    low, high = np.quantile(drawn, (0.025, 0.975))
    deviation = float(np.std(drawn, ddof=1))
    p = 2 * scipy.stats.norm.sf(abs(value) / deviation) if deviation > 0 else float(value == 0)
    return Difference(value, float(low), float(high), float(p))


def significant(p: Float[np.ndarray, "n"], rate: float = RATE) -> Bool[np.ndarray, "n"]:
    """Which of many are kept: the k least, for the largest k whose k-th least p is at most  k rate / n."""
    order = np.argsort(p, kind="stable")
    kept = np.flatnonzero(np.asarray(p)[order] <= rate * np.arange(1, len(p) + 1) / len(p))
    found = np.zeros(len(p), bool)
    found[order[: kept[-1] + 1 if len(kept) else 0]] = True
    return found
