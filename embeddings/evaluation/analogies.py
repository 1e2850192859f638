"""Word analogies: a is to b as c is to which word?

With unit vectors and all words x of the vocabulary but a, b and c as candidates (Levy & Goldberg 2014, section 3):

    3CosAdd   argmax over x of  cos(x, b) - cos(x, a) + cos(x, c)                                           (1)
    3CosMul   argmax over x of  cos(x, b) cos(x, c) / (cos(x, a) + epsilon), cosines shifted to (cos + 1)/2  (4)

The protocol is the field's, as word2vec's compute-accuracy and gensim have it: candidates and questions are taken from
the most frequent words of a stated number, questions with a word outside are left out and counted, case is ignored (of
words that differ by case only, the most frequent stands for all).
"""
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from embeddings import similarity
from embeddings.evaluation.table import Cell, Percent, Table
from embeddings.problems import Problem

METHODS = ("3CosAdd", "3CosMul")
CANDIDATES = 8192
"""Candidates whose cosines with all question words are held at a time."""
QUESTIONS = 1024
"""Questions are padded to a multiple of this, so that few programs are compiled."""

Question = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class Category:
    """A section of a question file."""

    name: str
    questions: tuple[Question, ...]
    """Quadruples a, b, c and the expected word."""

    @property
    def kind(self) -> str:
        """Syntactic where the name begins with gram, as in the Google set, else semantic."""
        return "syntactic" if self.name.startswith("gram") else "semantic"


@dataclasses.dataclass(frozen=True)
class Section:
    """How the questions of a category, or of several together, were answered."""

    name: str
    correct: int
    covered: int
    """Questions whose four words are in the vocabulary."""
    total: int

    @property
    def accuracy(self) -> float | None:
        """Share of the covered questions answered rightly; None where there is none."""
        return self.correct / self.covered if self.covered else None

    @property
    def out_of_vocabulary(self) -> int:
        """Questions that were left out."""
        return self.total - self.covered


@dataclasses.dataclass(frozen=True)
class Result:
    """Answers to a set of questions by one method."""

    set: str
    method: str
    vocabulary: int
    """Most frequent words that questions and answers were taken from."""
    sections: tuple[Section, ...]
    """The categories; then, where the set has both kinds, semantic and syntactic; then total."""
    answered: Bool[np.ndarray, "covered"] | None = dataclasses.field(default=None, compare=False, repr=False)
    """For each covered question, in order, whether it was answered rightly."""

    @property
    def total(self) -> Section:
        """All questions together."""
        return self.sections[-1]

    def rows(self) -> list[dict[str, Cell]]:
        """One record a section; see table.KEYS."""
        return [
            {"set": self.set, "section": section.name, "method": self.method, "score": section.accuracy,
             "correct": section.correct, "covered": section.covered, "total": section.total}
            for section in self.sections
        ]

    def scores(self) -> dict[str, float]:
        """Shares in 0..1 as `METHOD/total`, and `METHOD/semantic` and `METHOD/syntactic` where the set has both."""
        summaries = [section for section in self.sections if section.name in ("semantic", "syntactic", "total")]
        return {f"{self.method}/{s.name}": s.accuracy for s in summaries if s.accuracy is not None}


def read(path: Path) -> tuple[Category, ...]:
    """The categories of a question file: lines `: NAME`, each followed by lines of four words.

    Raises Problem with file and line.
    """
    categories: dict[str, list[Question]] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: no file of analogy questions ({type(error).__name__})") from None
    for number, line in enumerate(lines, 1):
        words = tuple(line.split())
        if line.startswith(":"):
            name = line[1:].strip()
            if not name or name in categories:
                raise Problem(f"{path}:{number}: a section needs a name of its own, as in `: family`")
            categories[name] = []
        elif len(words) == 4 and categories:
            categories[name].append(words)
        else:
            raise Problem(f"{path}:{number}: expected four words{'' if categories else ' below a line `: NAME`'}")
    if not any(categories.values()):
        raise Problem(f"{path}: holds no questions")
    return tuple(Category(name, tuple(questions)) for name, questions in categories.items())


def first_rows(words: Sequence[str]) -> tuple[dict[str, int], Int32[np.ndarray, "V"]]:
    """Without regard to case: the row of the first word of each form, and for each word the first row of its form."""
    forms = [word.upper() for word in words]
    rows: dict[str, int] = {}
    return rows, np.fromiter((rows.setdefault(form, i) for i, form in enumerate(forms)), np.int32, len(forms))


def evaluate(
    vectors: Float[np.ndarray, "V D"],
    words: Sequence[str],
    questions: Sequence[Category],
    vocabulary: int = 30000,
    method: Literal["3CosAdd", "3CosMul"] = "3CosAdd",
    epsilon: float = 0.001,
    name: str = "",
) -> Result:
    """Asks all questions of a set.

    Args:
        vectors: row i belongs to words[i].
        words: most frequent first.
        questions: the categories of the set.
        vocabulary: most frequent words that questions and answers are taken from; 0 takes all.
        method: 3CosAdd or 3CosMul.
        epsilon: of 3CosMul; 0.001 in the paper, 0.000001 in gensim.
        name: of the set, for the result.
    """
    limit = min(vocabulary or len(words), len(words))
    rows, first = first_rows(words[:limit])
    asked = np.array([[rows.get(word.upper(), -1) for word in q] for c in questions for q in c.questions], np.int32)
    covered = (asked >= 0).all(axis=1)
    correct = np.zeros(len(asked), bool)
    found = answers(vectors[:limit], first, asked[covered, :3], method, epsilon)
    correct[covered] = (found >= 0) & (first[found] == asked[covered, 3])
    of = np.repeat(np.arange(len(questions)), [len(category.questions) for category in questions])

    def section(name: str, which: Bool[np.ndarray, "Q"]) -> Section:
        return Section(name, int(correct[which].sum()), int(covered[which].sum()), int(which.sum()))

    sections = [section(category.name, of == i) for i, category in enumerate(questions)]
    syntactic = np.array([category.kind == "syntactic" for category in questions])[of]
    if syntactic.any() and not syntactic.all():
        sections += [section("semantic", ~syntactic), section("syntactic", syntactic)]
    sections.append(section("total", np.ones_like(covered)))
    return Result(name, method, limit, tuple(sections), correct[covered])


def answers(
    vectors: Float[np.ndarray, "V D"],
    first: Int[np.ndarray, "V"],
    asked: Int[np.ndarray, "Q 3"],
    method: str = "3CosAdd",
    epsilon: float = 0.001,
) -> Int32[np.ndarray, "Q"]:
    """The row that answers each question of rows a, b, c; of equal scores the lower; -1 where no candidate is left.

    `first` is the row of the first word of the same form (see first_rows). Words of the form of a, b or c don't answer.
    Each word's cosines with a chunk of candidates are computed once, whatever the number of questions it stands in.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: there are {', '.join(METHODS)}")
    if not len(asked):
        return np.zeros(0, np.int32)
    rows, places = np.unique(asked, return_inverse=True)
    size = -len(asked) % QUESTIONS
    places = np.pad(places.reshape(asked.shape).astype(np.int32), ((0, size), (0, 0)))
    forms = np.pad(first[asked].astype(np.int32), ((0, size), (0, 0)))
    terms = similarity.unit(np.pad(vectors[rows], ((0, -len(rows) % 256), (0, 0))))
    best = jnp.full(len(places), -jnp.inf), jnp.full(len(places), -1, jnp.int32)
    for start in range(0, len(vectors), CANDIDATES):
        part = slice(start, start + CANDIDATES)
        short = CANDIDATES - len(vectors[part])
        candidates = np.pad(vectors[part], ((0, short), (0, 0)))
        # Padding has the form of no word and -2 keeps it from being any question's answer.
        form = np.pad(first[part].astype(np.int32), (0, short), constant_values=-2)
        best = _better(best, terms, candidates, form, jnp.int32(start), places, forms, method, epsilon)
    return np.asarray(best[1])[: len(asked)]


@functools.partial(jax.jit, static_argnames=("method", "epsilon"))
def _better(
    best: tuple[Float[Array, "Q"], Int32[Array, "Q"]],
    terms: Float[Array, "W D"],
    candidates: Float[Array, "C D"],
    form: Int32[Array, "C"],
    start: Int32[Array, ""],
    places: Int32[Array, "Q 3"],
    forms: Int32[Array, "Q 3"],
    method: str,
    epsilon: float,
) -> tuple[Float[Array, "Q"], Int32[Array, "Q"]]:
    """Best score and row so far and among a chunk of candidates, whose first row is `start`."""
    cosines = similarity.dot(terms, similarity.unit(candidates))
    if method == "3CosMul":
        cosines = (cosines + 1) / 2

    def best_of(question: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b, c = (cosines[place] for place in question[0])
        barred = question[1]
        scores = b - a + c if method == "3CosAdd" else b * c / (a + epsilon)
        allowed = (form >= 0) & (form != barred[0]) & (form != barred[1]) & (form != barred[2])
        scores = jnp.where(allowed, scores, -jnp.inf)
        highest = scores.max()
        # Two plain reductions: XLA's argmax is three times as slow on a CPU.
        return highest, jnp.where(scores == highest, jnp.arange(CANDIDATES), CANDIDATES).min()

    highest, position = jax.lax.map(best_of, (places, forms), batch_size=32)
    better = highest > best[0]
    return jnp.where(better, highest, best[0]), jnp.where(better, start + position, best[1]).astype(jnp.int32)


def table(results: Sequence[Result]) -> Table:
    """Results of the same questions by several methods: a row a section, two columns a method."""
    columns: list[str] = ["section", "questions", "out of vocabulary"]
    for result in results:
        columns += [f"{result.method} correct", "%"]
    lines: list[tuple[Cell, ...]] = []
    for sections in zip(*(result.sections for result in results), strict=True):
        cells: list[Cell] = [sections[0].name, sections[0].total, sections[0].out_of_vocabulary]
        for section in sections:
            cells += [section.correct, None if section.accuracy is None else Percent(section.accuracy)]
        lines.append(tuple(cells))
    note = (f"Vocabulary: the {results[0].vocabulary:,} most frequent words, case ignored; % of the questions whose "
            "four words are in it; a question's own words are no answers.")
    return Table(results[0].set, tuple(columns), tuple(lines), (note,))
