"""Smooth inverse frequency: weights of words in a sentence, and what all sentences share taken out.

Arora, Liang, Ma (2017), "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", algorithm 1:

    v_s = 1 / |s| sum_{w in s} a / (a + p(w)) v_w        v_s <- v_s - u u' v_s

u is the first right singular vector of the matrix whose rows are the v_s, not centred, as in the authors' program.
"""
import numpy as np
from jaxtyping import Float

SIF_A = 1e-3
"""a, the probability of a word that counts half."""


def sif_weights(probabilities: Float[np.ndarray, "V"], a: float = SIF_A) -> Float[np.ndarray, "V"]:
    """a / (a + p(w)), in (0, 1]. Raises ValueError where a is not above 0."""
    if not a > 0:
        raise ValueError(f"SIF's a must be above 0, not {a}")
    return (a / (a + probabilities)).astype(np.float32)


def zipf(size: int) -> Float[np.ndarray, "V"]:
    """Probabilities of words by rank where no counts are known: p(w) proportional to 1 / rank (Zipf 1935)."""
    shares = 1 / np.arange(1, size + 1)
    return shares / shares.sum()


def first_component(vectors: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "D"]:
    """u, of length 1: the first right singular vector, from the eigenvectors of V'V in float64; its sign is open."""
    exact = np.asarray(vectors, np.float64)
    return np.linalg.eigh(exact.T @ exact)[1][:, -1].astype(np.float32)


def without(vectors: Float[np.ndarray, "n D"], component: Float[np.ndarray, "D"]) -> Float[np.ndarray, "n D"]:
    """v - u u' v of each row."""
    return vectors - np.outer(vectors @ component, component)
