"""Texts whose tokens are marked: words with their tags, questions with their answers; sets by name, or files."""
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from embeddings.contextual import folder as folders
from embeddings.contextual import passages, tasks
from embeddings.contextual import tokens as marking
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.model import Contextual
from embeddings.contextual.texts import Reading
from embeddings.corpus import marked
from embeddings.evaluation import answers, tagged
from embeddings.evaluation.answers import QuestionSet
from embeddings.evaluation.tagged import Tagged
from embeddings.experiment import Experiment
from embeddings.formats.tasks import ANSWERS, TAGS
from embeddings.levels import Place, beginning, sentences
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.spelling import suggestion
from embeddings.tokenizers.pieces import Pieces
from embeddings.training import processes
from embeddings.training.architectures import encoders, tokens
from embeddings.training.job import Job

Set = Tagged | QuestionSet
Read = Callable[[Path], Set]
KNOWN: dict[str, dict[str, Read]] = {
    "tagger": {
        "wnut17": lambda data: tagged.read(data, "WNUT17")[0],
        "conll2003": lambda data: tagged.read(data, "CoNLL-2003")[0],
        "ptb-pos": lambda data: tagged.read(data, "PTB")[0],
    },
    "reader": {
        "subjqa": lambda data: answers.subjqa(data / answers.SUBJQA["train"], "SubjQA"),
        "xquad": lambda data: answers.squad(data / answers.XQUAD, "XQuAD"),
        "squad": lambda data: answers.squad(data / answers.SQUAD["SQuAD"]["train"], "SQuAD"),
        "squad2": lambda data: answers.squad(data / answers.SQUAD["SQuAD 2.0"]["train"], "SQuAD 2.0"),
    },
}
"""Sets by name, each read from a folder of data sets: the training parts, of XQuAD all English questions."""
FILES = {"tagger": "a word, a tab and its tag a line", "reader": ".json as SQuAD's, or .csv as SubjQA's"}


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Marked texts on disk; see levels.Prepared."""

    settings: Experiment
    sets: tuple[marked.Stored, ...]
    pieces: Pieces
    head: marking.Tagger | marking.Reader
    """What is told of tokens, without parameters."""
    start: Contextual | None = None
    """What training goes on from."""

    @property
    def config(self) -> Any:
        """The encoder's configuration."""
        return self.start.config if self.start else encoders.transformer(self.settings.model, self.pieces.size)

    @property
    def family(self) -> str:
        """What formats.families calls the encoder."""
        return self.start.family if self.start else "bert"

    def job(self, mesh: Mesh) -> Job:
        """What the loop runs, on a mesh."""
        material = tokens.Material(self.sets, self.pieces.size, len(getattr(self.head, "classes", ())))
        return tokens.build(self.settings, material, mesh, (self.config, self.start.params) if self.start else None)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the configuration."""
        self.pieces.save(folder / folders.TOKENIZER)
        folders.save_tokens_model(folder, self.family, self.config, self.settings.model.length, self.head)

    def facts(self) -> dict[str, Any]:
        """The sets, what names their content, and sizes."""
        return {
            "sets": list(self.settings.examples.sets),
            "keys": [some.folder.name for some in self.sets],
            "texts": [len(some) for some in self.sets],
            "tokens": sum(some.tokens for some in self.sets),
            "classes": list(getattr(self.head, "classes", ())),
        }

    def opening(self) -> str:
        """Texts and tokens."""
        number, size = sum(map(len, self.sets)), sum(some.tokens for some in self.sets)
        return f"{number:,} texts or windows of texts, {size:,} tokens"

    def model(self, tables: Any) -> Contextual | Elmo:
        """The model for use."""
        head = dataclasses.replace(self.head, params=tables["objective"])
        return folders.tokens_model(
            self.family, self.config, tables["model"]["model"], self.pieces, self.settings.model.length, head
        )


def find(settings: Experiment, place: Place, screen: Screen) -> tuple[Set, ...]:
    """The sets of the flags. Raises Problem or UsageProblem for one that is not there or not as it should be."""
    return tuple(_found(name, settings, place) for name in settings.examples.sets)


def _found(name: str, settings: Experiment, place: Place) -> Set:
    known, path = KNOWN[settings.architecture], Path(name)
    if name in known:
        if place.data is None:
            raise Problem(f"--examples.sets={name}: no folder of data sets is known: name it with EMBEDDINGS_DATA")
        return known[name](place.data)
    if not path.is_file():
        raise UsageProblem(f"--examples.sets={name}: no such file, and none of {', '.join(known)}"
                           f"{suggestion(name, known)}; a file has {FILES[settings.architecture]}")
    if settings.architecture == "tagger":
        return tagged.read_file(path, name)
    return answers.squad(path, name) if path.suffix == ".json" else answers.subjqa(path, name)


def prepare(settings: Experiment, source: tuple[Set, ...], place: Place, screen: Screen) -> Prepared:
    """The tokenizer and the marked texts, found in the cache but for the first time.

    Raises Problem for fewer texts than a batch holds, and as levels.beginning.model does.
    """
    start, part = beginning.model(settings, functools.partial(_texts, source)), settings.model
    head = _head(settings, source)
    task = TAGS if settings.architecture == "tagger" else ANSWERS
    absent = settings.export and start and tasks.absent(start.family, task)
    if absent:
        raise UsageProblem(f"--export={settings.export}: {absent}: leave it out: the run's folder is what there is "
                           "then")

    def stored() -> tuple[Pieces, tuple[marked.Stored, ...]]:
        made = sentences.tokenizer(settings, start, place, screen)
        said = {"format": marked.FORMAT, "tokenizer": made.digest(), "longest": part.length,
                "overlap": getattr(part, "overlap", 0), "classes": getattr(head, "classes", ())}
        found = []
        for one in source:
            content = hashlib.sha256(repr(one).encode("utf-8", "surrogatepass")).hexdigest()
            key = hashlib.sha256(json.dumps([said, content]).encode()).hexdigest()[:32]
            found.append(marked.stored(key, place.cache, lambda one=one: _marked(one, head, made, part.length)))
        return made, tuple(found)

    made, sets = processes.by_first_then_others("examples", stored)
    screen.end()
    number = sum(map(len, sets))
    if number < settings.train.batch:
        raise Problem(f"{', '.join(settings.examples.sets)}: {number:,} texts, fewer than --train.batch="
                      f"{settings.train.batch} holds: lower it")
    return Prepared(settings, sets, made, head, start)


def _texts(source: Sequence[Set]) -> Iterator[str]:
    for one in source:
        if isinstance(one, Tagged):
            yield from map(" ".join, one.sentences)
        else:
            yield from (text for some in one.questions for text in (some.question, some.context))


def _head(settings: Experiment, source: Sequence[Set]) -> marking.Tagger | marking.Reader:
    if settings.architecture == "tagger":
        tags = itertools.chain.from_iterable(tags for one in source for tags in one.tags)
        return marking.Tagger(tuple(sorted({*tags, marking.OUTSIDE})), {})
    part = settings.model
    empty = any(not question.spans for one in source for question in one.questions)
    return marking.Reader({}, part.overlap, part.longest_answer, empty)


def _marked(
    one: Set, head: marking.Tagger | marking.Reader, tokenizer: Pieces, longest: int
) -> marked.Marked:
    """The tokens of a set's texts and their marks; of several answers to a question, the first."""
    if isinstance(one, Tagged):
        read = marking.sentences(tokenizer, one.sentences, longest)
        return _with(read, marking.tagged(one.sentences, one.tags, head.classes, read))
    questions, texts, spans = zip(
        *((some.question, some.context, some.spans[0] if some.spans else None) for some in one.questions), strict=True)
    read = passages.read(tokenizer, questions, texts, longest, head.overlap)
    return _with(read, marking.spanned(spans, read))


def _with(read: Reading, marks: np.ndarray) -> marked.Marked:
    return marked.Marked(read.ids, read.types, marks, np.diff(read.starts))
