"""Hard negatives: texts that a model takes for good answers to a question, and that are none."""
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embeddings import similarity


class Window(NamedTuple):
    """Which of the ranked texts are taken."""

    first: int
    """How many of the nearest are left out."""
    last: int
    """Rank up to which negatives are looked for."""
    margin: float
    """By how much a negative's cosine is below that of the pair's own answer, at least."""


def mined(
    model: Any, pairs: Sequence[tuple[str, str]], window: Window, negatives: int
) -> Iterator[tuple[str, ...]]:
    """Pairs with their negatives, without those for which there are too few; `model` has `.encode`."""
    questions, answers = ({text: n for n, text in enumerate(dict.fromkeys(texts))}
                          for texts in zip(*pairs, strict=True))
    queries, table = (model.encode(list(texts)) for texts in (questions, answers))
    own = [(questions[a], answers[b]) for a, b in pairs]
    k = min(window.last, len(answers))
    scores, ranked = similarity.top_k(queries, table, k, exclude=_excluded(own, len(questions)))
    of_pair = np.asarray([_cosine(queries[q], table[a]) for q, a in own])
    names = list(answers)
    for (first, second), (q, _), score in zip(pairs, own, of_pair, strict=True):
        places = np.arange(k)
        fine = (places >= window.first) & (ranked[q] >= 0) & (scores[q] <= score - window.margin)
        chosen = ranked[q][fine][: negatives]
        if len(chosen) == negatives:
            yield first, second, *(names[n] for n in chosen)


def _excluded(own: list[tuple[int, int]], queries: int) -> Int[np.ndarray, "Q E"]:
    """The answers of each question, padded with -1."""
    of_question: list[list[int]] = [[] for _ in range(queries)]
    for question, answer in sorted(set(own)):
        of_question[question].append(answer)
    out = np.full((queries, max(map(len, of_question))), -1, np.int32)
    for row, some in zip(out, of_question, strict=True):
        row[: len(some)] = some
    return out


def _cosine(a: Float[np.ndarray, "D"], b: Float[np.ndarray, "D"]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
