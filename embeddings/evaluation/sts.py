"""Semantic textual similarity: does the cosine of two sentences' vectors rank pairs as people did?

The score is Spearman's rank correlation of cosines and judgements over all pairs of a set, as MTEB has it: STS12 to
STS16 are the sets of a year together (STS13 without SMT, whose sentences are not free), STSBenchmark its test part,
SICK-R all pairs of SICK (train, trial and test). Pairs without a judgement are left out. A text that gets zeros has
cosine 0 with any other, and its pairs count as not covered.
"""
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from embeddings.evaluation.reading import lines
from embeddings.evaluation.scores import Encode, encoded
from embeddings.evaluation.table import Cell, Table
from embeddings.evaluation.word_similarity import spearman
from embeddings.problems import Problem, UsageProblem

YEARS = ("STS12", "STS13", "STS14", "STS15", "STS16")
SETS = (*YEARS, "STSBenchmark", "SICK-R")
PUBLISHED = {
    "average_word_embeddings_glove.6B.300d": (54.64, 69.16, 60.81, 72.31, 65.34, 61.54, 55.43),
    "average_word_embeddings_komninos": (53.51, 70.80, 63.56, 74.08, 64.60, 61.55, 55.49),
    "bert-base-uncased": (30.87, 59.89, 47.73, 60.29, 63.73, 47.29, 58.65),
    "sup-simcse-bert-base-uncased": (75.30, 84.67, 80.19, 85.40, 80.82, 84.25, 80.77),
    "all-MiniLM-L6-v2": (72.37, 80.60, 75.59, 85.39, 78.99, 82.03, 77.58),
    "all-MiniLM-L12-v2": (73.08, 82.13, 76.73, 85.58, 80.23, 83.09, 79.32),
    "all-mpnet-base-v2": (72.63, 83.48, 78.00, 85.66, 80.03, 83.42, 80.59),
}
"""Spearman's rho of SETS, times 100, in the result files of the MTEB paper (Muennighoff et al. 2023); a text of BERT's
is the mean of its last layer."""
BENCHMARK = {"STSBenchmark": Path("sts/STSBenchmark/sts-test.csv"),
             "STSBenchmark dev": Path("sts/STSBenchmark/sts-dev.csv")}
"""Its test part, one of SETS, and its development part, which runs are chosen by."""
SICK = tuple(Path("sick") / name for name in ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt"))
WHAT = "sentence pairs"


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of sentences and how alike people found them."""

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    judgements: Float64[np.ndarray, "P"]


@dataclasses.dataclass(frozen=True)
class Score:
    """One set."""

    name: str
    spearman: float | None
    """Rank correlation, -1 to 1; None where all cosines are alike."""
    covered: int
    """Pairs whose two sentences have a vector that is not zeros."""
    total: int


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of several sets by one way of encoding."""

    method: str
    sets: tuple[Score, ...]

    @property
    def average(self) -> float | None:
        """Mean of the seven sets; None where one is missing."""
        found = [score.spearman for score in self.sets if score.spearman is not None]
        return float(np.mean(found)) if len(found) == len(SETS) else None

    def rows(self) -> list[dict[str, Cell]]:
        """One record a set; see table.KEYS."""
        return [{"set": score.name, "section": "total", "method": self.method, "score": score.spearman, "correct": None,
                 "covered": score.covered, "total": score.total} for score in self.sets]

    def scores(self) -> dict[str, float]:
        """Spearman's rho by set and method."""
        return {f"{score.name} {self.method}": score.spearman for score in self.sets if score.spearman is not None}


def find(data: Path) -> tuple[str, ...]:
    """Which of SETS are in a folder of data sets."""
    there = {year: bool(_inputs(data, year)) for year in YEARS}
    there["STSBenchmark"] = (data / BENCHMARK["STSBenchmark"]).is_file()
    there["SICK-R"] = all((data / path).is_file() for path in SICK)
    return tuple(name for name in SETS if there[name])


def read(data: Path, name: str) -> Pairs:
    """A set by its name in SETS or BENCHMARK. Raises Problem with file and line."""
    rows: list[tuple[str, str, float]] = []
    if name == "SICK-R":
        for path in SICK:
            rows += _rows(data / path, (1, 2, 3), start=1)
    elif name in BENCHMARK:
        rows = _rows(data / BENCHMARK[name], (5, 6, 4))
    else:
        for path in _inputs(data, name):
            rows += _year(path)
    if not rows:
        raise Problem(f"{data}: holds no pairs of {name}: copy the data again")
    first, second, judgements = zip(*rows, strict=True)
    return Pairs(name, first, second, np.array(judgements))


def _inputs(data: Path, year: str) -> list[Path]:
    return sorted((data / "sts" / year).glob("STS.input.*.txt"))


def _rows(path: Path, columns: tuple[int, int, int], start: int = 0) -> list[tuple[str, str, float]]:
    """Two sentences and a judgement a line, by tab, from line `start` on."""
    rows = []
    for number, line in enumerate(lines(path, WHAT)[start:], start + 1):
        fields = line.split("\t")
        try:
            first, second, judgement = (fields[column] for column in columns)
            rows.append((first, second, float(judgement)))
        except (IndexError, ValueError):
            raise Problem(f"{path}:{number}: expected two sentences and a judgement, by tabs") from None
    return rows


def _year(path: Path) -> list[tuple[str, str, float]]:
    """Pairs of a STS.input file, with the judgements of the STS.gs file beside it, where that has a blank line none."""
    gold = path.with_name(path.name.replace("input", "gs", 1))
    pairs, judgements, rows = lines(path, WHAT), lines(gold, WHAT), []
    if len(pairs) != len(judgements):
        raise Problem(f"{gold}: {len(judgements)} lines where {path.name} has {len(pairs)}: copy both again")
    for number, (pair, judgement) in enumerate(zip(pairs, judgements, strict=True), 1):
        fields = pair.split("\t")
        try:
            if judgement.strip():
                rows.append((fields[0], fields[1], float(judgement)))
        except (IndexError, ValueError):
            raise Problem(f"{path}:{number}: expected two sentences, and a judgement in {gold.name}") from None
    return rows


def evaluate(encode: Encode, sets: Sequence[Pairs], method: str = "cosine") -> Result:
    """Scores of all sets; both sides of a set are encoded in one call. `method` is what the result is called."""
    scores = []
    for one in sets:
        vectors = encoded(encode, [*one.first, *one.second])[0].astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1)
        unit = vectors / np.where(norms > 0, norms, 1)[:, None]
        (a, b), covered = np.split(unit, 2), np.split(norms > 0, 2)
        rho = spearman((a * b).sum(axis=1), one.judgements)
        scores.append(Score(one.name, rho, int((covered[0] & covered[1]).sum()), len(one.judgements)))
    return Result(method, tuple(scores))


def published(name: str, sets: Sequence[Pairs]) -> Result:
    """What is published of a model. Raises UsageProblem for a name that is not in PUBLISHED."""
    if name not in PUBLISHED:
        raise UsageProblem(f"--published={name}: there is {', '.join(PUBLISHED)}")
    rhos = dict(zip(SETS, PUBLISHED[name], strict=True))
    return Result("published", tuple(Score(one.name, rhos[one.name] / 100, len(one.judgements), len(one.judgements))
                                     for one in sets))


def table(results: Sequence[Result]) -> Table:
    """A row a set, a column a way of encoding, times 100 as papers print it, and their mean over the seven sets."""
    rows: list[tuple[Cell, ...]] = []
    for scores in zip(*(result.sets for result in results), strict=True):
        rhos = (None if score.spearman is None else 100 * score.spearman for score in scores)
        rows.append((scores[0].name, *rhos, scores[0].covered, scores[0].total))
    averages = (None if result.average is None else 100 * result.average for result in results)
    rows.append(("average of seven", *averages, *(sum(row[i] for row in rows) for i in (-2, -1))))
    columns = ("set", *(result.method for result in results), "pairs covered", "pairs")
    note = "Spearman's rho of cosines and judgements, times 100; the sets of a year together, SICK-R all its pairs."
    return Table("Sentence similarity", columns, tuple(rows), (note,))
