"""Measures a model: word vectors by analogies and similarity, any encoder of texts by the tasks of sentences.

    python -m embeddings.evaluate --model=runs/quick
    python -m embeddings.evaluate --model=vectors.vec --task=analogies --vocabulary=200000 --output=analogies.md
    python -m embeddings.evaluate --model=glove.6B.300d.txt --task=sts --tokenizer=whitespace --stop_words=english
    python -m embeddings.evaluate --model=all-MiniLM-L6-v2 --task=sts,retrieval,classification,clustering,pairs
    python -m embeddings.evaluate --model=gpt2 --task=perplexity --text=wiki.test.tokens --stride=512
    python -m embeddings.evaluate --model=runs/quick --task=retrieval --collection=mine.jsonl --field=question,answer
"""
import csv
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from embeddings import command
from embeddings.fields import Count, Positive
from embeddings.files import write_whole
from embeddings.problems import Problem, UsageProblem

WRITTEN_AS = (".csv", ".json", ".md")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how."""

    model: str
    """A run's folder, a file of word vectors, a folder of sentence-transformers or transformers, or a hub's name."""
    task: tuple[Literal["analogies", "similarity", "python_docs", "sts", "sts-b", "sts-b-dev", "pairs",
                        "classification", "clustering", "classes", "regression", "tags", "answers", "entities",
                        "retrieval", "documentation", "senteval", "perplexity", "glue-cola", "glue-sst-2",
                        "glue-mrpc", "glue-sts-b", "glue-qqp", "glue-mnli", "glue-qnli", "glue-rte"], ...] = ()
    """What to measure; empty takes every task whose data is there and that the model can do, but those that
    are run where they are named: sts-b, sts-b-dev, documentation, senteval, those of GLUE."""
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
    collection: tuple[str, ...] = ()
    """Files of (query, document) pairs that retrieval is measured on too: .csv .tsv .jsonl .parquet."""
    field: tuple[str, ...] = ("query", "document")
    """The two fields of --collection."""
    text: str = ""
    """File whose perplexity is measured, by words and as bits a byte: of a masked model the pseudo-perplexity."""
    stride: Positive | None = None
    """Tokens between the windows that a causal model reads --text in; empty takes half of its length."""
    published: str = ""
    """Model whose published scores stand beside those of sts, as all-MiniLM-L6-v2; empty takes the name of --model."""
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
        if len(self.field) != 2:
            raise UsageProblem(f"--field={','.join(self.field)}: name two fields, as --field=query,document")
        if self.collection and self.task and "retrieval" not in self.task:
            raise UsageProblem("--collection is for retrieval: add it to --task")
        if (self.text or self.stride) and self.task and "perplexity" not in self.task:
            raise UsageProblem("--text and --stride are for perplexity: add it to --task")


def main(flags: Flags, words: list[str]) -> None:
    """Prints a table a task."""
    folder = flags.data or os.environ.get("EMBEDDINGS_DATA", "")
    if flags.data and not Path(flags.data).is_dir():
        raise Problem(f"--data={flags.data}: no such folder")
    if flags.output and not Path(flags.output).parent.is_dir():
        raise Problem(f"--output={flags.output}: no such folder: {Path(flags.output).parent}")
    from embeddings.evaluation.reading import stop_words

    tasks, left_out = chosen(flags, Path(folder) if folder else None)
    model = opened(flags, stop_words(flags.stop_words))
    lacking = {task.name: reason for task in tasks if (reason := task.lacking(model))}
    for name in flags.task:
        if name in lacking:
            raise Problem(f"--model={flags.model}: task {name} {lacking[name]}: choose others by --task")
    left_out |= lacking
    records: list[dict] = []
    tables: list[str] = []
    for task in tasks:
        if task.name in lacking:
            continue
        results, reason = task.beside_baselines(model)
        left_out |= {f"{task.name}, baseline": reason} if reason else {}
        records += [row for result in results for row in result.rows()]
        table = task.table(results)
        tables.append(table.markdown())
        print(table.text(), flush=True)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    if flags.output:
        write(Path(flags.output), flags.model, records, "\n".join(tables))


def chosen(flags: Flags, data: Path | None) -> tuple[tuple[Any, ...], dict[str, str]]:
    """The tasks (evaluation.tasks.task.Task) that are asked for, or can be run, and why others are left out."""
    from embeddings.evaluation import sts
    from embeddings.evaluation import tasks as evaluations
    from embeddings.evaluation.tasks.task import Options

    name = Path(flags.model).name
    published = flags.published or (name if name in sts.PUBLISHED else "")
    files = tuple(map(Path, flags.collection))
    options = Options(
        flags.vocabulary, flags.method, flags.pooling, files, flags.field, command.cache(), published,
        Path(flags.text) if flags.text else None, flags.stride,
    )
    if flags.task:
        return evaluations.tasks(flags.task, data, options), {}
    left_out = {name: reason for name in evaluations.TASKS if (reason := evaluations.missing(name, data, options))}
    left_out |= {name: f"{why}: name it by --task" for name, why in evaluations.NAMED.items() if name not in left_out}
    names = [name for name in evaluations.TASKS if name not in left_out]
    return evaluations.tasks(names, data, options), left_out


def opened(flags: Flags, stop_words: frozenset[str]) -> Any:
    """The model that the flags name; prints what it is."""
    from embeddings import encoder

    model = encoder.load(flags.model, flags.tokenizer or None, counts=flags.counts or None)
    if not isinstance(model, encoder.WordVectors):
        if stop_words:
            raise UsageProblem("--stop_words is for word vectors: leave it out")
        print(f"{flags.model}: {type(model).__name__}\n")
        return model
    model = dataclasses.replace(model, stop_words=stop_words)
    case = "lower case" if model.tokenizer.lower else "case kept"
    print(f"{flags.model}: {len(model):,} words, {model.vectors.shape[1]} dimensions, tokenizer "
          f"{model.tokenizer.tokenizer} ({case})\n")
    return model


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
