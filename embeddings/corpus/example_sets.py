"""Sets of examples by name, each as files of public data sets have it, and what kind of example it gives.

    python_docs       pairs: the summary of a definition in Python's documentation, and what is said of it below
    snli              pairs with a class: entailment, neutral, contradiction
    snli-entailment   pairs: a sentence and what follows from it
    snli-triplets     triplets: a sentence, what follows from it, and what contradicts it
    stsb              pairs with a score, 0 to 1
    mrpc              pairs with a class: whether one is a paraphrase of the other
    glue-TASK         GLUE's training parts, see glue.py: texts or pairs with a class, pairs of sts-b with a number
    mrpc-paraphrases, quora, flickr8k   pairs: paraphrases, equal questions, captions of one picture
"""
import dataclasses
import functools
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from embeddings.corpus import glue, python_docs
from embeddings.corpus.example_files import Broken, Example
from embeddings.problems import Problem

Read = Callable[[Path], Iterator[Example | Broken]]
CLASSES = ("contradiction", "entailment", "neutral")
"""Of natural language inference, numbered in this order."""


@dataclasses.dataclass(frozen=True)
class Set:
    """A known set."""

    columns: int
    """Texts of an example."""
    label: str
    """What its label is: "", "class", "score" or "number"."""
    read: Read
    """Its examples, from the folder of data sets."""


def _lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else path.open(encoding=encoding) as file:
            for line in file:
                yield line.rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: cannot be read ({error}): see where data sets are with EMBEDDINGS_DATA") from None


def _snli(data: Path) -> Iterator[tuple[str, str, str]]:
    """Premise, hypothesis and class."""
    files = sorted((data / "nli/snli_train_subset").glob("*.jsonl.gz"))
    if not files:
        raise Problem(f"{data / 'nli/snli_train_subset'}: no .jsonl.gz of SNLI: name the data with EMBEDDINGS_DATA")
    for file in files:
        for number, line in enumerate(_lines(file), 1):
            try:
                record = json.loads(line)
                found = record["sentence1"], record["sentence2"], record["gold_label"]
            except (ValueError, KeyError, TypeError):
                raise Problem(f"{file}:{number}: no record of SNLI: copy the file again") from None
            if found[2] in CLASSES:
                yield found


def snli(data: Path) -> Iterator[Example]:
    """Pairs with a class."""
    for premise, hypothesis, label in _snli(data):
        yield Example((premise, hypothesis), label)


def snli_entailment(data: Path) -> Iterator[Example]:
    """A sentence and what follows from it."""
    for premise, hypothesis, label in _snli(data):
        if label == "entailment":
            yield Example((premise, hypothesis), None)


def snli_triplets(data: Path) -> Iterator[Example]:
    """For each sentence that has both: what follows, and what contradicts it."""
    found: dict[str, dict[str, str]] = {}
    for premise, hypothesis, label in _snli(data):
        found.setdefault(premise, {}).setdefault(label, hypothesis)
    for premise, each in found.items():
        if {"entailment", "contradiction"} <= each.keys():
            yield Example((premise, each["entailment"], each["contradiction"]), None)


def stsb(data: Path, part: str = "train") -> Iterator[Example]:
    """Pairs with a score of 0 to 5, as a share of 5."""
    path = data / f"sts/STSBenchmark/sts-{part}.csv"
    for number, line in enumerate(_lines(path), 1):
        fields = line.split("\t")
        try:
            yield Example((fields[5], fields[6]), float(fields[4]) / 5)
        except (IndexError, ValueError):
            raise Problem(f"{path}:{number}: no line of the STS benchmark: copy the file again") from None


def mrpc(data: Path) -> Iterator[Example]:
    """Pairs with a class, 1 for paraphrases."""
    path = data / "pairs/MRPC/msr_paraphrase_train.txt.gz"
    for number, line in enumerate(_lines(path), 1):
        fields = line.split("\t")
        if number > 1:
            if len(fields) != 5 or fields[0] not in ("0", "1"):
                raise Problem(f"{path}:{number}: no line of MRPC: copy the file again")
            yield Example((fields[3], fields[4]), int(fields[0]))


def mrpc_paraphrases(data: Path) -> Iterator[Example]:
    """Those that are paraphrases."""
    return (Example(example.texts, None) for example in mrpc(data) if example.label)


def quora(data: Path) -> Iterator[Example]:
    """Equal questions."""
    import csv

    path = data / "pairs/quora/eval.csv.gz"
    for row in csv.DictReader(_lines(path)):
        if row.get("is_duplicate") == "1":
            yield Example((row["question1"], row["question2"]), None)


def flickr8k(data: Path) -> Iterator[Example]:
    """Of each picture's captions the first with the second, and the third with the fourth."""
    captions: dict[str, list[str]] = {}
    for line in _lines(data / "pairs/flickr8k/Flickr8k.token.txt.gz"):
        name, _, caption = line.partition("\t")
        captions.setdefault(name.partition("#")[0], []).append(caption)
    for some in captions.values():
        for a, b in zip(some[0::2], some[1::2], strict=False):
            yield Example((a, b), None)


SETS = {
    "snli": Set(2, "class", snli),
    "snli-entailment": Set(2, "", snli_entailment),
    "snli-triplets": Set(3, "", snli_triplets),
    "stsb": Set(2, "score", stsb),
    "mrpc": Set(2, "class", mrpc),
    "mrpc-paraphrases": Set(2, "", mrpc_paraphrases),
    "quora": Set(2, "", quora),
    "flickr8k": Set(2, "", flickr8k),
    **{name: Set(len(task.columns), task.kind, functools.partial(glue.read, name=name))
       for name, task in glue.TASKS.items()},
}
PYTHON_DOCS = "python_docs"
HELD_OUT = frozenset(("absl", "asyncio", "email", "flax", "optax", "tkinter"))
"""Packages of python_docs that are for testing."""


def documentation(cache: Path, held_out: bool = False) -> Iterator[Example]:
    """Summaries and what is said below them, a text of five words at least, of the packages for training or the others.

    Those for testing have no name and no summary that training has, but for case and punctuation, nor one twice.
    """
    parts: dict[bool, list[dict]] = {False: [], True: []}
    for line in _lines(python_docs.collect(cache), "utf-8"):
        record = json.loads(line)
        if record["summary"].strip() and len(record["body"].split()) >= 5:
            parts[record["module"].partition(".")[0] in HELD_OUT].append(record)
    seen = {_plain(record[field]) for record in parts[False] for field in ("summary", "name")} if held_out else set()
    for record in parts[held_out]:
        summary, name = _plain(record["summary"]), _plain(record["name"])
        if held_out and (summary in seen or name in seen):
            continue
        seen.add(summary)
        yield Example((record["summary"], record["body"]), None)


def _plain(text: str) -> str:
    """Letters and digits in lower case: what near-duplicates have in common."""
    return "".join(c for c in text.lower() if c.isalnum())
