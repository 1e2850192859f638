"""The tasks that word vectors are measured by, each found with its data and ready to run.

    analogies     the Google set (Mikolov et al. 2013), by 3CosAdd and 3CosMul
    similarity    every set of word pairs that is there
    python_docs   the package's own analogies about Python's documentation, by 3CosAdd and 3CosMul
    sts           sentence similarity, a sentence being the mean of its words' vectors, or SIF's
"""
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from embeddings.encoder import Pooling, WordVectors
from embeddings.evaluation import analogies, sts, word_similarity
from embeddings.evaluation.table import Cell, Percent, Table
from embeddings.problems import Problem, UsageProblem

TASKS = ("analogies", "similarity", "python_docs", "sts")
GOOGLE = Path("analogy/questions-words.txt")
PAIRS = Path("wordsim")
Result = analogies.Result | word_similarity.Result | sts.Result
PYTHON_DOCS = Path(__file__).with_name("python_docs.txt")
STOP_WORDS = Path(__file__).with_name("english_stop_words.txt")


@dataclasses.dataclass(frozen=True)
class Task:
    """A name and what is done under it."""

    name: str
    run: Callable[[WordVectors], tuple[Result, ...]]

    def scores(self, vectors: WordVectors) -> dict[str, float]:
        """The numbers to follow through training, by name."""
        return {name: score for result in self.run(vectors) for name, score in result.scores().items()}


def missing(name: str, data: Path | None) -> str | None:
    """Why a task cannot run, and what to do about it; None where it can. Raises UsageProblem for an unknown name."""
    if name not in TASKS:
        raise UsageProblem(f"no evaluation task {name!r}: there are {', '.join(TASKS)}")
    if name == "python_docs":
        return None if PYTHON_DOCS.is_file() else f"{PYTHON_DOCS} is missing: install the package again"
    if data is None:
        return "no folder of data sets is known: name it with --data or EMBEDDINGS_DATA"
    if name == "analogies" and not (data / GOOGLE).is_file():
        return f"{data / GOOGLE} is missing"
    if name == "similarity" and not word_similarity.find(data / PAIRS):
        return f"{data / PAIRS} holds no EN-*.txt or *_vecto.csv"
    if name == "sts" and not sts.find(data):
        return f"{data / 'sts'} holds no STS.input.*.txt of a year, no STSBenchmark, {data / 'sick'} no SICK_*.txt"
    return None


def stop_words(name: str) -> frozenset[str]:
    """English function words for `english`, none for ``, else the words of a file of that name, one a line."""
    if not name:
        return frozenset()
    path = STOP_WORDS if name == "english" else Path(name)
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: no file of words, one a line ({type(error).__name__}): name another") from None


def tasks(
    names: Sequence[str],
    data: Path | None,
    vocabulary: int = 30000,
    methods: Sequence[str] = analogies.METHODS,
    pooling: Sequence[Pooling] = ("mean", "sif"),
) -> tuple[Task, ...]:
    """Tasks by name, their files read and checked.

    Args:
        names: of TASKS.
        data: folder of data sets.
        vocabulary: most frequent words that analogy questions and answers are taken from; 0 takes all.
        methods: of analogies.METHODS.
        pooling: how words become a sentence, see WordVectors.encode.

    Raises:
        UsageProblem: an unknown name.
        Problem: a file is missing or not as it should be.
    """
    for name in names:
        reason = missing(name, data)
        if reason:
            raise Problem(f"evaluation task {name}: {reason}")
    return tuple(_task(name, data, vocabulary, methods, pooling) for name in names)


def _task(
    name: str, data: Path | None, vocabulary: int, methods: Sequence[str], pooling: Sequence[Pooling]
) -> Task:
    if name == "sts":
        pairs = [sts.read(data or Path(), found) for found in sts.find(data or Path())]
        return Task(name, lambda v: tuple(
            sts.evaluate(functools.partial(v.encode, pooling=how), pairs, how) for how in pooling))
    if name == "similarity":
        sets = [word_similarity.read(path) for path in word_similarity.find((data or Path()) / PAIRS)]
        return Task(name, lambda v: (word_similarity.evaluate(v.vectors, v.words, sets),))
    path = PYTHON_DOCS if name == "python_docs" else (data or Path()) / GOOGLE
    title = "Python documentation analogies" if name == "python_docs" else "Google analogies"
    questions = analogies.read(path)
    return Task(name, lambda v: tuple(
        analogies.evaluate(v.vectors, v.words, questions, vocabulary, method, name=title) for method in methods))


def table(results: Sequence[Result]) -> Table:
    """The results of one task side by side: a row a section or set, two columns a method."""
    if isinstance(results[0], word_similarity.Result):
        rows = tuple((s.name, s.spearman, s.covered, s.total) for s in results[0].sets)
        note = "Spearman's rho of cosines and judgements; pairs with an unknown word are left out."
        return Table("Word similarity", ("set", "Spearman", "pairs covered", "pairs"), rows, (note,))
    if isinstance(results[0], sts.Result):
        return sts.table(results)
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
