"""A task as dissection needs it: which texts it reads, a number of each of its items from their vectors, and a score.

    sts-b, sts12 .. sts16, sick-r     an item is a pair, its number the cosine, the score Spearman's rho
    banking77, ag-news                an item is a text, its number how often it was labelled rightly; accuracy, MTEB's
    cranfield, npl, quora             an item is a query, its number nDCG@10, the score their mean
    FILE.tsv                          pairs of one's own and their judgements, numbers, as STS

Gradient importance (importance.py) needs a loss of each item. Of vectors u it is

    pairs           (cos(u_a, u_b) - j)^2, judgements j scaled to 0 .. 1
    labels          -log softmax(W u + c)[label], W and c a logistic regression on the unmasked vectors
    queries         -log softmax(20 cos(query, document))[relevant one], over it and the 50 best that are not

Shapes: n texts, m items, k texts of an item, D width, R draws.
"""
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from embeddings.contextual.model import Contextual
from embeddings.evaluation import classification, judged, labelled, retrieval, sts
from embeddings.evaluation.judged import Collection
from embeddings.evaluation.labelled import Labelled, LabelledSet
from embeddings.evaluation.sts import Pairs
from embeddings.heads import bootstrap
from embeddings.problems import Problem

STS = {"sts-b": "STSBenchmark", "sick-r": "SICK-R", **{name.lower(): name for name in sts.YEARS}}
LABELLED = {name.lower().replace(" ", "-"): name for name in classification.SETS}
COLLECTIONS = {name.lower().split()[0]: name for name in judged.NAMES}
NAMES = (*STS, *LABELLED, *COLLECTIONS)
Vectors = Float[np.ndarray, "n D"]


@dataclasses.dataclass(frozen=True, eq=False)
class Loss:
    """A loss of each item, as a function of the vectors of its texts."""

    members: Int[np.ndarray, "m k"]
    """Numbers of the texts."""
    targets: Shaped[np.ndarray, "m"]
    """What the loss is told beside them."""
    of_item: Callable[[Float[Array, "k D"], Shaped[Array, ""]], Float[Array, ""]]
    items: Int[np.ndarray, "m"]
    """Numbers of the task's items, of which some may have no loss."""

    def of(self, some: Int[np.ndarray, "some"]) -> Int[np.ndarray, "_"]:
        """Rows of some items."""
        return np.flatnonzero(np.isin(self.items, some))

    def part(self, some: Int[np.ndarray, "some"]) -> "Loss":
        """The loss of some items alone."""
        rows = self.of(some)
        return dataclasses.replace(self, members=self.members[rows], targets=self.targets[rows], items=self.items[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class Measure:
    """A task."""

    name: str
    metric: str
    texts: tuple[Any, ...]
    """Each once; strings, or pairs of them that are read as one."""
    items: Callable[[Vectors], Float[np.ndarray, "m"]]
    """From the vectors of the texts."""
    resampled: Callable[[Float[np.ndarray, "m"], Int[np.ndarray, "R m"]], Float[np.ndarray, "R"]]
    """The score of items, each counted as often as a draw has it."""
    loss: Callable[[Vectors], Loss]
    """What the vectors of the unmasked model give a gradient by."""
    part: Callable[[Int[np.ndarray, "some"]], "Measure"]
    """The task with some of its items."""
    mixes: bool = True
    """Whether it is one of vectors, which layers can be mixed for."""
    blank_as_zeros: bool = True
    """Whether blank texts get zeros, as in evaluation."""
    key: str = ""
    """Names what the items depend on beside the vectors of texts, if there is such."""

    def score(self, items: Float[np.ndarray, "m"], some: Int[np.ndarray, "some"] | None = None) -> float:
        """The score of all items, or of some."""
        counts = np.zeros((1, len(items)), np.int64)
        counts[0, slice(None) if some is None else some] = 1
        return float(self.resampled(items, counts)[0])


def read(name: str, data: Path) -> Measure:
    """A task of NAMES. Raises Problem, with file and line, where its data are not there or damaged."""
    if name in STS:
        if STS[name] not in sts.find(data):
            raise Problem(f"--task={name}: {data} has no {STS[name]}: copy it there, or choose another task")
        return of_pairs(sts.read(data, STS[name]))
    if name in LABELLED:
        if not labelled.find(data, [LABELLED[name]]):
            raise Problem(f"--task={name}: {data} has no {LABELLED[name]}: copy it there, or choose another task")
        return of_labels(labelled.read(data, LABELLED[name]))
    if COLLECTIONS[name] not in judged.find(data):
        raise Problem(f"--task={name}: {data} has no {COLLECTIONS[name]}: copy it there, or choose another task")
    return of_collection(judged.read(data, COLLECTIONS[name]))


def encoded(model: Contextual, measure: Measure, **how: Any) -> Vectors:
    """Vectors of a task's texts, as it takes them."""
    return without_blank(model.encode(measure.texts, **how), measure)


def without_blank(vectors: Float[np.ndarray, "*M n D"], measure: Measure) -> Float[np.ndarray, "*M n D"]:
    """Zeros for a task's blank texts, where it has them so."""
    return np.where(written(measure.texts)[:, None], vectors, 0) if measure.blank_as_zeros else vectors


def written(texts: Sequence[Any]) -> Bool[np.ndarray, "n"]:
    """Which texts, or pairs, are not blank."""
    return np.array([bool(" ".join([text] if isinstance(text, str) else text).strip()) for text in texts], bool)


def halves(count: int) -> tuple[Int[np.ndarray, "some"], Int[np.ndarray, "others"]]:
    """Every second item, which something is learned on, and the others, which it is scored on."""
    return np.arange(0, count, 2), np.arange(1, count, 2)


def spaced(items: Int[np.ndarray, "some"], number: int) -> Int[np.ndarray, "fewer"]:
    """So many of the items at most, evenly."""
    return items[np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)]


def _some_pairs(pairs: Pairs, rows: Int[np.ndarray, "some"]) -> Pairs:
    return Pairs(pairs.name, tuple(pairs.first[row] for row in rows), tuple(pairs.second[row] for row in rows),
                 pairs.judgements[rows])


def distinct(texts: list[Any]) -> tuple[tuple[Any, ...], Int[np.ndarray, "n"]]:
    """Each text once, and which of them each is."""
    number = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    return tuple(number), np.array([number[text] for text in texts])


def _unit(vectors: Vectors) -> Float[np.ndarray, "n D"]:
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def cosine(a: Float[Array, "D"], b: Float[Array, "D"]) -> Float[Array, ""]:
    """Of two vectors; its gradient is finite everywhere."""
    return a @ b * jax.lax.rsqrt(jnp.maximum((a @ a) * (b @ b), 1e-24))


def of_pairs(pairs: Pairs) -> Measure:
    """Spearman's rho of cosines and judgements."""
    texts, which = distinct([*pairs.first, *pairs.second])
    members = np.stack(np.split(which, 2), axis=1)
    judgements = pairs.judgements
    span = np.ptp(judgements) or 1.0
    scaled = ((judgements - judgements.min()) / span).astype(np.float32)

    def items(vectors: Vectors) -> Float[np.ndarray, "m"]:
        unit = _unit(vectors)
        return np.sum(unit[members[:, 0]] * unit[members[:, 1]], axis=1)

    def squared(u: Float[Array, "2 D"], target: Float[Array, ""]) -> Float[Array, ""]:
        return (cosine(u[0], u[1]) - target) ** 2

    return Measure(pairs.name, "Spearman's rho", texts, items,
                   lambda x, weights: bootstrap.correlations(x, judgements, weights),
                   lambda _: Loss(members, scaled, squared, np.arange(len(members))),
                   lambda rows: of_pairs(_some_pairs(pairs, rows)))


def of_labels(one: LabelledSet, samples: int = 8, times: int = 10) -> Measure:
    """Accuracy by evaluation.classification's protocol."""
    source = one.train or one.test
    drawn = classification.draws(source.labels, samples, times)
    used = np.unique(np.concatenate(drawn)) if one.train else np.zeros(0, int)
    labels, answers = np.array(source.labels), np.array(one.test.labels)
    texts, which = distinct([*(source.texts[row] for row in used), *one.test.texts])
    tested = which[len(used) :]
    place = np.full(len(labels), -1)
    place[used] = which[: len(used)]

    def items(vectors: Vectors) -> Float[np.ndarray, "m"]:
        right, tries = np.zeros(len(answers)), 0
        for rows in drawn:
            model = classification.fitted(vectors[place[rows] if one.train else tested[rows]], labels[rows])
            counts = np.ones(len(answers), bool)
            if one.train is None:
                counts[rows] = False
            right[counts] += model.predict(vectors[tested[counts]]) == answers[counts]
            tries += np.count_nonzero(counts)
        return right * len(answers) / tries

    def loss(vectors: Vectors) -> Loss:
        model = classification.fitted(vectors[tested], answers)
        kernel, bias = jnp.asarray(model.coef_, jnp.float32), jnp.asarray(model.intercept_, jnp.float32)
        two = len(model.classes_) == 2
        number = np.searchsorted(model.classes_, answers).astype(np.int32)

        def log_loss(u: Float[Array, "1 D"], label: Int[Array, ""]) -> Float[Array, ""]:
            logits = kernel @ u[0] + bias
            logits = jnp.concatenate([jnp.zeros(1), logits]) if two else logits
            return -jax.nn.log_softmax(logits)[label]

        return Loss(tested[:, None], number, log_loss, np.arange(len(tested)))

    def part(rows: Int[np.ndarray, "some"]) -> Measure:
        test = Labelled(tuple(one.test.texts[row] for row in rows), tuple(one.test.labels[row] for row in rows))
        return of_labels(dataclasses.replace(one, test=test), samples, times)

    return Measure(one.name, "accuracy", texts, items, bootstrap.means, loss, part)


OTHERS = 50
"""Documents beside the relevant one in the loss of a query."""
SCALE = 20.0
"""What cosines are times in it."""


def of_collection(one: Collection) -> Measure:
    """nDCG@10 of documents by cosine."""
    texts, which = distinct([*one.queries, *one.documents])
    queries, documents = np.split(which, [len(one.queries)])

    def items(vectors: Vectors) -> Float[np.ndarray, "m"]:
        ranking = retrieval.nearest(vectors[queries], vectors[documents], one, retrieval.TOP)
        return retrieval.measures(ranking, one)["nDCG@10"]

    def loss(vectors: Vectors) -> Loss:
        grades = one.grades
        ranking = retrieval.nearest(vectors[queries], vectors[documents], one, min(2 * OTHERS, len(documents)))
        members, asked = [], np.flatnonzero(grades.count_nonzero(axis=1) > 0)
        for query in asked:
            row = grades[[query]].toarray()[0]
            wrong = [document for document in ranking[query] if document >= 0 and not row[document]][:OTHERS]
            members.append([queries[query], *documents[[int(np.argmax(row)), *wrong]]])
        k = min(map(len, members))
        members = np.array([some[:k] for some in members])

        def softmax(u: Float[Array, "k D"], _: Array) -> Float[Array, ""]:
            cosines = jax.vmap(cosine, (None, 0))(u[0], u[1:])
            return -jax.nn.log_softmax(SCALE * cosines)[0]

        return Loss(members, np.zeros(len(members), np.float32), softmax, asked)

    def part(rows: Int[np.ndarray, "some"]) -> Measure:
        place = np.full(len(one.queries), -1)
        place[rows] = np.arange(len(rows))
        judgements = one.judgements.copy()
        judgements[:, 0] = place[judgements[:, 0]]
        some = tuple(one.queries[row] for row in rows)
        judgements = judgements[judgements[:, 0] >= 0]
        return of_collection(dataclasses.replace(one, queries=some, judgements=judgements, left_out=one.left_out[rows]))

    return Measure(one.name, "nDCG@10", texts, items, bootstrap.means, loss, part)
