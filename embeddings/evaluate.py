"""Measures word vectors: analogies by category, and similarity of words and sentences on every set that is there.

    python -m embeddings.evaluate --model=runs/quick
    python -m embeddings.evaluate --model=vectors.vec --task=analogies --vocabulary=200000 --output=analogies.md
    python -m embeddings.evaluate --model=glove.6B.300d.txt --task=sts --tokenizer=whitespace --stop_words=english
"""
import csv
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from embeddings import command
from embeddings.fields import Count
from embeddings.files import write_whole
from embeddings.problems import Problem, UsageProblem

WRITTEN_AS = (".csv", ".json", ".md")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how."""

    model: str
    """A run's folder, or a file of vectors: word2vec's, GloVe's or fastText's."""
    task: tuple[Literal["analogies", "similarity", "python_docs", "sts"], ...] = ()
    """What to measure; empty takes every task whose data is there."""
    vocabulary: Count = 30000
    """Most frequent words that analogy questions and answers are taken from; 0 takes all."""
    method: tuple[Literal["3CosAdd", "3CosMul"], ...] = ("3CosAdd", "3CosMul")
    """How an analogy is answered."""
    pooling: tuple[Literal["mean", "sif"], ...] = ("mean", "sif")
    """How words become a sentence: their mean, or weighted by rarity and less what all sentences share (SIF)."""
    stop_words: str = ""
    """Words that sentences are encoded without: english (function words), or a file, one a line; empty takes all."""
    tokenizer: Literal["", "words", "whitespace"] = ""
    """How sentences are cut: words, whitespace, or as the run's text was (files: words)."""
    counts: str = ""
    """File with a word and its count a line, for SIF where the vectors bring no counts; else it goes by their rank."""
    data: str = ""
    """Folder of data sets; empty takes the environment variable EMBEDDINGS_DATA."""
    output: str = ""
    """File that the results are also written to: .csv, .json or .md."""

    def validate(self) -> None:
        """Raises UsageProblem for values that do not go together."""
        if self.output and Path(self.output).suffix not in WRITTEN_AS:
            raise UsageProblem(f"--output={self.output}: the name must end in one of {', '.join(WRITTEN_AS)}")
        if not self.method:
            raise UsageProblem("--method is empty: choose 3CosAdd, 3CosMul or both")
        if not self.pooling:
            raise UsageProblem("--pooling is empty: choose mean, sif or both")


def main(flags: Flags, words: list[str]) -> None:
    """Prints a table a task."""
    folder = flags.data or os.environ.get("EMBEDDINGS_DATA", "")
    if flags.data and not Path(flags.data).is_dir():
        raise Problem(f"--data={flags.data}: no such folder")
    if flags.output and not Path(flags.output).parent.is_dir():
        raise Problem(f"--output={flags.output}: no such folder: {Path(flags.output).parent}")
    from embeddings import encoder
    from embeddings.evaluation import words as evaluations

    data = Path(folder) if folder else None
    left_out = {} if flags.task else {name: evaluations.missing(name, data) for name in evaluations.TASKS}
    names = flags.task or [name for name, reason in left_out.items() if reason is None]
    tasks = evaluations.tasks(names, data, flags.vocabulary, flags.method, flags.pooling)
    stop_words = evaluations.stop_words(flags.stop_words)
    vectors = encoder.load(flags.model, flags.tokenizer or None, counts=flags.counts or None)
    vectors = dataclasses.replace(vectors, stop_words=stop_words)
    case = "lower case" if vectors.tokenizer.lower else "case kept"
    print(f"{flags.model}: {len(vectors):,} words, {vectors.vectors.shape[1]} dimensions, tokenizer "
          f"{vectors.tokenizer.tokenizer} ({case})\n")
    records: list[dict] = []
    tables: list[str] = []
    for task in tasks:
        results = task.run(vectors)
        records += [row for result in results for row in result.rows()]
        table = evaluations.table(results)
        tables.append(table.markdown())
        print(table.text(), flush=True)
    for name, reason in left_out.items():
        if reason is not None:
            print(f"left out: {name}: {reason}")
    if flags.output:
        write(Path(flags.output), flags.model, records, "\n".join(tables))


def write(path: Path, model: str, records: Sequence[dict], tables: str) -> None:
    """Writes tables (.md) or records (.csv, .json; keys as evaluation.table.KEYS), whole or not at all."""
    from embeddings.evaluation.table import KEYS

    text = tables
    if path.suffix == ".json":
        text = json.dumps({"model": model, "results": records}, indent=1) + "\n"
    elif path.suffix == ".csv":
        lines = io.StringIO()
        writer = csv.DictWriter(lines, KEYS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        text = lines.getvalue()
    write_whole(path, text)


if __name__ == "__main__":
    command.run(main, Flags)
