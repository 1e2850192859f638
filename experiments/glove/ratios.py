"""Ratios of co-occurrence probabilities, as in GloVe's table 1: does a word go with ice or with steam?

    python experiments/glove/ratios.py --corpus=enwiki-sample
    python experiments/glove/ratios.py --corpus=enwiki-sample --first=king --second=queen --probes=crown,he,she

With X_ij how often word j stands in the context of word i (corpus/cooccurrence.py) and X_i the sum over j, P(j | i) is
X_ij / X_i. Prints P of each probe word given both words, their ratio, and X_ij, which says how much the ratio is worth;
for the paper's words its own figures stand beside (Pennington et al. 2014, table 1: 6 billion words).
"""
import dataclasses
import os
from pathlib import Path

import numpy as np

from embeddings import command, experiment
from embeddings.corpus import cooccurrence, documents, shards
from embeddings.evaluation.table import Table
from embeddings.fields import Positive
from embeddings.problems import Problem

PAPER = {"solid": (1.9e-4, 2.2e-5, 8.9), "gas": (6.6e-5, 7.8e-4, 8.5e-2), "water": (3.0e-3, 2.2e-3, 1.36),
         "fashion": (1.7e-5, 1.8e-5, 0.96)}
AT_ONCE = 1 << 22


@dataclasses.dataclass(frozen=True)
class Flags:
    """Which words, counted how."""

    corpus: str
    """Which text, as in embeddings.train."""
    first: str = "ice"
    """One word."""
    second: str = "steam"
    """The other."""
    probes: tuple[str, ...] = tuple(PAPER)
    """Words that may go with either."""
    window: Positive = 10
    """Words to each side that are counted with a word, at 1 / distance."""
    min_count: Positive = 5
    """Words seen less often are left out."""


def counted(flags: Flags, data: Path | None, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """X_ij for both words i and each probe j [2, probes], and X_i [2]. Raises Problem for a word that is not there."""
    text = experiment.Text()
    source = documents.find(flags.corpus, text=text, data=data, cache=cache)
    vocabulary, tokens = shards.prepare(source, text, experiment.Vocabulary(min_count=flags.min_count), cache)
    rows = {word: row for row, word in enumerate(vocabulary.words)}
    for word in (flags.first, flags.second, *flags.probes):
        if word not in rows:
            raise Problem(f"{word!r} is not in the vocabulary of --corpus={flags.corpus}: choose another word")
    size = len(vocabulary.words)
    table = cooccurrence.prepare(tokens, size, cooccurrence.Context(flags.window), cache)
    found, probes = np.zeros((2, size)), [rows[word] for word in flags.probes]
    for start in range(0, table.entries, AT_ONCE):
        word, context, count = table.read(start, min(start + AT_ONCE, table.entries))
        for of, name in zip(found, (flags.first, flags.second), strict=True):
            here = word == rows[name]
            of[context[here]] = count[here]
    return found[:, probes], found.sum(axis=1)


def main(flags: Flags, words: list[str]) -> None:
    """Prints the table."""
    folder = os.environ.get("EMBEDDINGS_DATA")
    cache = Path(os.environ.get("EMBEDDINGS_CACHE") or Path.home() / ".cache" / "embeddings")
    x, total = counted(flags, Path(folder) if folder else None, cache)
    p = x / total[:, None]
    published = (flags.first, flags.second) == ("ice", "steam")
    rows = []
    for n, probe in enumerate(flags.probes):
        ratio = p[0, n] / p[1, n] if p[1, n] else None
        paper = f"{PAPER[probe][2]:.2g}" if published and probe in PAPER else None
        shown = (f"{p[0, n]:.1e}", f"{p[1, n]:.1e}", None if ratio is None else f"{ratio:.2g}", paper)
        rows.append((probe, *shown, f"{x[0, n]:.1f}", f"{x[1, n]:.1f}"))
    a, b = flags.first, flags.second
    columns = ("k", f"P(k|{a})", f"P(k|{b})", "ratio", "published", f"X({a}, k)", f"X({b}, k)")
    print(Table(f"{flags.corpus}, window {flags.window}", columns, tuple(rows)).markdown())


if __name__ == "__main__":
    command.run(main, Flags)
