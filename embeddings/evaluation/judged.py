"""Collections that retrieval is measured on: queries, documents and judgements of what is relevant to what.

    Cranfield   1,400 abstracts of aerodynamics, 225 questions. Judgements number questions by their order, not by the
                numbers beside them. Codes 1, a complete answer, to 4, of minimum interest, become grades 4 to 1. One
                document a question has the code -1, which the collection does not explain: it is mostly the nearest of
                all, as the paper behind the question would be, and is taken out of that question's ranking.
    NPL         11,426 short abstracts of electrical engineering, three numbers of which are skipped, and 93 questions,
                relevant or not.
    Quora       the questions of duplicate pairs: each that stands first asks for those it is a duplicate of, among all
                others. What people did not mark counts as not relevant though it may be.
    pairs       any file of (query, document) pairs: each query asks for its documents among all.
"""
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
from jaxtyping import Int

from embeddings.evaluation import reading
from embeddings.problems import Problem

CRANFIELD = tuple(Path("retrieval/cranfield") / name for name in ("cran.all.1400", "cran.qry", "cranqrel"))
NPL = tuple(Path("retrieval/npl") / f"{name}.gz" for name in ("doc-text", "query-text", "rlv-ass"))
QUORA = Path("pairs/quora/eval.csv.gz")
NAMES = ("Cranfield", "NPL", "Quora")
WHAT = "a retrieval collection"


@dataclasses.dataclass(frozen=True, eq=False)
class Collection:
    """Queries, documents and judgements; queries and documents are numbered from 0."""

    name: str
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    judgements: Int[np.ndarray, "J 3"]
    """Query, document and grade, 1 or more; what is not judged is not relevant."""
    left_out: Int[np.ndarray, "Q E"]
    """Documents that are not in a query's ranking, padded with -1."""

    @property
    def grades(self) -> scipy.sparse.csr_array:
        """The grades as a sparse matrix [Q, documents]."""
        query, document, grade = self.judgements.T
        return scipy.sparse.csr_array((grade, (query, document)), (len(self.queries), len(self.documents)))


def find(data: Path) -> tuple[str, ...]:
    """Which of NAMES are in a folder of data sets."""
    files = {"Cranfield": CRANFIELD, "NPL": NPL, "Quora": (QUORA,)}
    return tuple(name for name in NAMES if all((data / file).is_file() for file in files[name]))


def read(data: Path, name: str) -> Collection:
    """A collection by its name in NAMES. Raises Problem with file and line."""
    if name == "Quora":
        return quora(data / QUORA)
    return cranfield(*(data / path for path in CRANFIELD)) if name == "Cranfield" else npl(*(data / p for p in NPL))


def collection(
    name: str, queries: Sequence[str], documents: Sequence[str], judgements: Iterable[tuple[int, int, int]],
    left_out: Iterable[tuple[int, int]] = (), source: Path | None = None,
) -> Collection:
    """A collection of rows; of several judgements of a pair the highest holds.

    Raises Problem, naming the source, where there is no judgement.
    """
    grades: dict[tuple[int, int], int] = {}
    for query, document, grade in judgements:
        grades[query, document] = max(grade, grades.get((query, document), 0))
    if not grades:
        raise Problem(f"{source or name}: holds no judgements of what is relevant: name another")
    out: dict[int, list[int]] = {}
    for query, document in left_out:
        out.setdefault(query, []).append(document)
    padded = np.full((len(queries), max(map(len, out.values()), default=0)), -1, np.int32)
    for query, row in out.items():
        padded[query, : len(row)] = row
    rows = np.array([(*pair, grade) for pair, grade in grades.items()], np.int32)
    return Collection(name, tuple(queries), tuple(documents), rows, padded)


def cranfield(documents: Path, queries: Path, judgements: Path) -> Collection:
    """Cranfield, of its three files. A document's text is its abstract, which begins with the title."""
    texts, questions = _smart(documents), _smart(queries)
    judged, left_out = [], []
    for number, line in enumerate(reading.lines(judgements, WHAT), 1):
        query, document, code = _whole(judgements, number, line, 3)
        if code not in range(-1, 5):
            raise Problem(f"{judgements}:{number}: code {code}: expected -1, or 1 to 4")
        pair = _row(judgements, number, query, questions), _row(judgements, number, document, texts)
        if code > 0:
            judged.append((*pair, 5 - code))
        elif code < 0:
            left_out.append(pair)
    return collection("Cranfield", questions, texts, judged, left_out, judgements)


def npl(documents: Path, queries: Path, judgements: Path) -> Collection:
    """NPL, of its three files."""
    texts, questions = ({number: text for _, number, text in _slashed(path)} for path in (documents, queries))
    rows, asked = ({number: row for row, number in enumerate(side)} for side in (texts, questions))
    judged = []
    for line, query, numbers in _slashed(judgements):
        for document in _whole(judgements, line, numbers):
            if query not in asked or document not in rows:
                raise Problem(f"{judgements}:{line}: query {query}, document {document}: there is no such text")
            judged.append((asked[query], rows[document], 1))
    return collection("NPL", list(questions.values()), list(texts.values()), judged, source=judgements)


def _smart(path: Path) -> list[str]:
    """The texts of SMART's format: records that begin with `.I NUMBER`, of whose fields `.W` is the text."""
    head, *records = re.split(r"^\.I .*$", "\n".join(reading.lines(path, WHAT)), flags=re.MULTILINE)
    if head or not records:
        raise Problem(f"{path}:1: expected `.I NUMBER`: copy the file again")
    texts, line = [], 1
    for record in records:
        _, field, text = record.partition("\n.W")
        if not field:
            raise Problem(f"{path}:{line}: a record without `.W`, its text: copy the file again")
        texts.append(" ".join(text.replace("\n.W\n", "\n").split()))  # some abstracts have the mark in their midst
        line += record.count("\n")
    return texts


def _slashed(path: Path) -> Iterator[tuple[int, int, str]]:
    """Line, number and text of each record of NPL's format: the number, which rises, the text, a slash on a line."""
    found: list[str] = []
    last, start = 0, 1
    for number, line in enumerate(reading.lines(path, WHAT), 1):
        if line.strip() != "/":
            found += [line.strip()] if found or line.strip() else []
            continue
        if not found or not re.fullmatch(r"\d{1,9}", found[0]) or int(found[0]) <= last:
            raise Problem(f"{path}:{start}: expected a number above {last}, a text and a slash: copy the file again")
        last = int(found[0])
        yield start, last, " ".join(found[1:])
        found, start = [], number + 1
    if any(found):
        raise Problem(f"{path}:{start}: the last record is cut off: copy the file again")


def _whole(path: Path, line: int, numbers: str, count: int = 0) -> list[int]:
    """Whole numbers between blanks, `count` of them, or some."""
    found = numbers.split()
    if not found or (count and len(found) != count) or not all(re.fullmatch(r"-?\d{1,9}", one) for one in found):
        raise Problem(f"{path}:{line}: expected {count or 'some'} whole numbers")
    return [int(one) for one in found]


def _row(path: Path, line: int, number: int, texts: Sequence[str]) -> int:
    """The row of a text that is numbered from 1."""
    if not 1 <= number <= len(texts):
        raise Problem(f"{path}:{line}: number {number}: there are {len(texts):,} such texts, from 1")
    return number - 1


def quora(path: Path) -> Collection:
    """The duplicates among Quora's questions, of a file with the columns question1, question2 and is_duplicate."""
    pairs = []
    for number, (first, second, duplicate) in reading.records(path, ("question1", "question2", "is_duplicate"), WHAT):
        if duplicate not in ("0", "1"):
            raise Problem(f"{path}:{number}: is_duplicate is {duplicate!r}: expected 0 or 1")
        if duplicate == "1" and first != second:
            pairs.append((first, second))
    rows = _numbered(text for pair in pairs for text in pair)
    queries = _numbered(first for first, _ in pairs)
    judged = [(queries[first], rows[second], 1) for first, second in pairs]
    judged += [(queries[second], rows[first], 1) for first, second in pairs if second in queries]
    itself = [(number, rows[query]) for query, number in queries.items()]
    return collection("Quora", list(queries), list(rows), judged, itself, path)


def pairs(path: Path, fields: tuple[str, str] = ("query", "document"), name: str = "") -> Collection:
    """A collection of the (query, document) pairs of a file, see reading.records.

    Raises Problem, naming file and line, for an empty text.
    """
    found = []
    for number, pair in reading.records(path, fields, WHAT):
        for field, text in zip(fields, pair, strict=True):
            if not text.strip():
                raise Problem(f"{path}:{number}: {field!r} is empty: correct or remove the record")
        found.append(pair)
    return of_pairs(name or path.name, found, path)


def of_pairs(name: str, pairs: Sequence[tuple[str, str]], source: Path | None = None) -> Collection:
    """A collection of (query, document) pairs: each document is relevant to its query; equal texts are one."""
    queries, documents = (_numbered(pair[side] for pair in pairs) for side in (0, 1))
    judged = [(queries[query], documents[document], 1) for query, document in pairs]
    return collection(name, list(queries), list(documents), judged, source=source)


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """Different texts and their numbers, in order."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}
