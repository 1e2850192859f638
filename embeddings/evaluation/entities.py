"""Named entities: are they found whole, and of the right type?

A tag B-TYPE begins an entity and I-TYPE goes on with it; an I-TYPE behind O or another type begins one too. An entity
counts as found where its type and both ends are right, over all sentences together (conlleval, and seqeval unless asked
to be strict):

    precision = found / predicted     recall = found / annotated     F1 = 2 precision recall / (precision + recall)

Of tags that mark each word by itself, parts of speech, the accuracy is measured. Frozen vectors are measured by a
probe: a logistic regression from the vector of each word to its tag.
"""
import collections
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embeddings.contextual.tokens import of_words
from embeddings.evaluation import scores, tagged
from embeddings.evaluation.classification import fitted
from embeddings.evaluation.scores import Result, Score
from embeddings.evaluation.table import Table
from embeddings.evaluation.tagged import Tagged

ITERATIONS = 1000
"""Of the probe's logistic regression at most: enough to converge."""

Words = Sequence[str]
Tag = Callable[[Sequence[Words]], Sequence[Sequence[str]]]
"""Sentences in, a tag for every word out."""
WordsInContext = Callable[[Sequence[Words]], Sequence[Float[np.ndarray, "T D"]]]
"""Sentences in, a row for every word out."""
Entity = tuple[str, int, int]
"""Type, first word, and the word behind the last."""


def types(one: Tagged) -> set[str]:
    """The types of its entities."""
    return {kind for tags in one.tags for kind, _, _ in entities(tags)}


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, in order."""
    found: list[Entity] = []
    last = ""
    for place, tag in enumerate(tags):
        mark, _, kind = tag.partition("-")
        if mark == "I" and kind == last:
            found[-1] = (kind, found[-1][1], place + 1)
        elif kind:
            found.append((kind, place, place + 1))
        last = kind
    return found


def measures(gold: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1, precision and recall of all sentences together, and `F1 TYPE` of each annotated type.

    Raises ValueError where a sentence has another number of tags.
    """
    counts = {part: collections.Counter() for part in ("found", "guessed", "annotated")}
    for right, tags in zip(gold, guessed, strict=True):
        if len(right) != len(tags):
            raise ValueError(f"{len(tags)} tags for {len(right)} words")
        annotated, predicted = set(entities(right)), set(entities(tags))
        for part, some in zip(counts, (annotated & predicted, predicted, annotated), strict=True):
            counts[part].update(kind for kind, _, _ in some)
    found, predicted, annotated = (counter.total() for counter in counts.values())
    values = {"F1": _share(2 * found, predicted + annotated), "precision": _share(found, predicted),
              "recall": _share(found, annotated)}
    for kind in sorted(counts["annotated"]):
        values[f"F1 {kind}"] = _share(2 * counts["found"][kind], counts["guessed"][kind] + counts["annotated"][kind])
    return values


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def evaluate(tag: Tag, sets: Sequence[Tagged], method: str = "tagger", covered: Sequence[int] = ()) -> Result:
    """The measures of all sets, accuracy where tags are of no entities.

    `covered` are the words of each that have a vector, all unless said.
    """
    measured = []
    for number, one in enumerate(sets):
        words = sum(map(len, one.sentences))
        known = covered[number] if covered else words
        found = tag(one.sentences)
        values = measures(one.tags, found) if one.of_entities else {"accuracy": tagged.accuracy(one.tags, found)}
        measured += [Score(one.name, name, value, known, words) for name, value in values.items()]
    return Result(method, tuple(measured))


def evaluate_vectors(vectors: WordsInContext, train: Tagged, test: Tagged, method: str = "words") -> Result:
    """The measures of frozen vectors of words, by a probe that is fitted to the training part."""
    rows = np.concatenate(vectors(train.sentences))
    probe = fitted(rows, np.array([tag for tags in train.tags for tag in tags]), iterations=ITERATIONS)
    found = vectors(test.sentences)
    known = sum(int(part.any(axis=1).sum()) for part in found)
    return evaluate(lambda _: [probe.predict(part).tolist() for part in found], [test], method, [known])


def in_context(model: Any) -> WordsInContext:
    """Of a model with `.tokens(texts)`: the mean of a word's tokens, zeros where it has none; blanks join words."""

    def vectors(sentences: Sequence[Words]) -> list[Float[np.ndarray, "T D"]]:
        texts = model.tokens([" ".join(words) for words in sentences])
        return [_of_words(words, of.offsets, of.vectors) for words, of in zip(sentences, texts, strict=True)]

    return vectors


def _of_words(
    words: Words, offsets: Int[np.ndarray, "N 2"], vectors: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, "T D"]:
    tokens, word = of_words([words], offsets, np.zeros(len(offsets), np.int64))
    sums = np.zeros((len(words), vectors.shape[1]), np.float32)
    np.add.at(sums, word, vectors[tokens])
    return sums / np.maximum(np.bincount(word, minlength=len(words)), 1)[:, None]


def looked_up(model: Any) -> WordsInContext:
    """Of a table of words: the vector of each whatever stands around it, zeros for unknown ones."""
    width = model.vectors.shape[1]

    def vectors(sentences: Sequence[Words]) -> list[Float[np.ndarray, "T D"]]:
        table = {word: model[word] for word in {word for words in sentences for word in words} if word in model}
        return [np.array([table.get(word, np.zeros(width)) for word in words], np.float32) for words in sentences]

    return vectors


def table(results: Sequence[Result]) -> Table:
    """A row a measure."""
    note = ("Whole entities of the right type, times 100; a logistic regression from the vector of each word to its "
            "tag, fitted to the training part.")
    return scores.table("Named entities", results, "words", (note,))
