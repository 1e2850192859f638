"""The words nearest to a word, or to a sum and difference of words.

    python -m embeddings.neighbours --model=runs/quick gradient socket
    python -m embeddings.neighbours --model=runs/quick "rows - row + column"

Words without a sign between them are asked about one after the other. A sign stands apart from the word before it.
"""
import dataclasses
from collections.abc import Sequence

from embeddings import command
from embeddings.fields import Positive
from embeddings.problems import UsageProblem

SIGNS = ("+", "-")


@dataclasses.dataclass(frozen=True)
class Flags:
    """Whose neighbours, and how many."""

    model: str
    """A run's folder, or a file of vectors: word2vec's, GloVe's or fastText's."""
    k: Positive = 10
    """Neighbours shown."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A sum and difference of words."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def __str__(self) -> str:
        return " - ".join([" + ".join(self.positive), *self.negative])


def main(flags: Flags, words: list[str]) -> None:
    """Prints a table a query: rank, word, cosine, count in training."""
    queries = read(words)
    from embeddings import encoder
    from embeddings.evaluation.table import Table
    from embeddings.formats.vectors import printable

    vectors = encoder.load(flags.model)
    found = [vectors.most_similar(query.positive, query.negative, flags.k) for query in queries]
    for query, neighbours in zip(queries, found, strict=True):
        columns = ("rank", "word", "cosine") + (("count",) if vectors.counts is not None else ())
        rows = []
        for rank, (word, cosine) in enumerate(neighbours, 1):
            count = () if vectors.counts is None else (int(vectors.counts[vectors.index[word]]),)
            rows.append((rank, printable(word), cosine, *count))
        print(Table(str(query), columns, tuple(rows)).text())


def read(words: Sequence[str]) -> list[Query]:
    """The queries on a command line. Raises UsageProblem.

    A new query begins with each word that has no sign before it.
    """
    queries: list[dict[str, list[str]]] = []
    sign = ""
    for token in " ".join(words).split():
        if token[0] in SIGNS:
            if sign:
                raise UsageProblem(f"two signs in a row, {sign!r} and {token[0]!r}: a word must stand between them")
            sign, token = token[0], token[1:]
        if not token:
            continue
        if not sign or not queries:
            queries.append({"+": [], "-": []})
        queries[-1][sign or "+"].append(token)
        sign = ""
    if sign:
        raise UsageProblem(f"a word must follow the last {sign!r}")
    if not queries:
        raise UsageProblem("name a word, or a sum such as \"king - man + woman\"")
    for query in queries:
        if not query["+"]:
            raise UsageProblem("only words with a minus: begin with a word to add")
    return [Query(tuple(query["+"]), tuple(query["-"])) for query in queries]


if __name__ == "__main__":
    command.run(main, Flags, positional="WORD...")
