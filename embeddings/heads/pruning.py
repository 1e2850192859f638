"""Which heads a model can do without.

contextual/removal.py takes them out of the weights. Curves (Michel et al. 2019, section 4): heads are masked from the
least to the most important, by the gradient or by what the score loses without them, and the score is taken again and
again. The greedy curve looks again, after each step, at what the score loses without each head that is left. An order
is to be found on other items than it is scored on: heads that hurt some items by chance are plenty.

Shapes: L layers, H heads, M masks, n texts, E width of a text's vector.
"""
import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from embeddings.contextual.model import Contextual
from embeddings.contextual.removal import Place
from embeddings.heads.measures import Measure, encoded, without_blank
from embeddings.heads.sweep import sweep_of
from embeddings.problems import Problem


@dataclasses.dataclass(frozen=True)
class Point:
    """A place on a curve."""

    pruned: int
    """How many heads are masked."""
    score: float
    heads: tuple[Place, ...]
    """Those that came on top since the last point."""


def mask(model: Contextual, pruned: Sequence[Place]) -> Float[np.ndarray, "L H"]:
    """The head mask without some heads. Raises Problem for a model that has lost heads already."""
    stack = model.config.stack
    if stack.kept:
        raise Problem("this model has lost heads already: prune the whole one")
    out = np.ones((stack.layers, stack.heads), np.float32)
    for layer, head in pruned:
        out[layer, head] = 0
    return out


def steps(places: Sequence[Place], points: int) -> list[tuple[Place, ...]]:
    """Heads in about as many portions as points are wanted, in order."""
    edges = np.unique(np.linspace(0, len(places), min(points, len(places)) + 1).round().astype(int))
    return [tuple(places[a:b]) for a, b in itertools.pairwise(edges)]


def by_order(
    model: Contextual, measure: Measure, order: Sequence[Place], points: int, report: Callable[[float], None],
    some: Int[np.ndarray, "some"] | None = None,
) -> list[Point]:
    """The curve of heads masked in an order, least important first, from none to all; of some items, or of all."""
    curve, gone = [Point(0, score(model, measure, (), some), ())], []
    for portion in steps(order, points):
        gone += portion
        curve.append(Point(len(gone), score(model, measure, gone, some), portion))
        report(len(gone) / len(order))
    return curve


def score(
    model: Contextual, measure: Measure, pruned: Sequence[Place], some: Int[np.ndarray, "some"] | None = None
) -> float:
    """The score with some heads masked, of some items or of all."""
    return measure.score(measure.items(encoded(model, measure, head_mask=mask(model, pruned))), some)


def greedy(
    model: Contextual, measure: Measure, points: int, report: Callable[[float], None], until: float = 1.0
) -> list[Point]:
    """The curve on which each step masks the heads whose loss costs the score least, given those that went before.

    It ends when a share `until` of the heads is gone.
    """
    stack = model.config.stack
    left = [(layer, head) for layer in range(stack.layers) for head in range(stack.heads)]
    curve, gone = [Point(0, score(model, measure, ()), ())], []
    for portion in steps(list(left), points):
        if len(gone) >= until * stack.layers * stack.heads:
            break
        scores = without_each(model, measure, left, gone)
        best = sorted(left, key=lambda place: -scores[place])[: len(portion)]
        gone += best
        left = [place for place in left if place not in best]
        curve.append(Point(len(gone), score(model, measure, gone), tuple(best)))
        report(min(1.0, len(gone) / (until * stack.layers * stack.heads)))
    return curve


def without_each(
    model: Contextual, measure: Measure, left: Sequence[Place], gone: Sequence[Place]
) -> dict[Place, float]:
    """The score without each head that is left, those that are gone masked."""
    others, reading, found = mask(model, gone), model.read(measure.texts), {}
    for layer in sorted({layer for layer, _ in left}):
        heads = [head for at, head in left if at == layer]
        masks = np.repeat(others[layer][None], len(others[layer]), axis=0)  # as many each time: one program
        masks[range(len(heads)), heads] = 0
        swept = sweep_of(model).vectors(model.placed, reading, model.packer(), layer, masks, others=others)
        for head, vectors in zip(heads, without_blank(swept, measure), strict=False):
            found[layer, head] = measure.score(measure.items(vectors))
    return found
