"""Examples of texts: sets by name or files, a tokenizer, and what is made of both."""
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from embeddings import encoder
from embeddings.contextual import folder as folders
from embeddings.contextual import tasks, words
from embeddings.contextual.classes import Head
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.model import Contextual
from embeddings.corpus import documents, example_files, example_sets, examples, pieces
from embeddings.corpus.example_files import Broken, Example
from embeddings.evaluation import labelled
from embeddings.experiment import Experiment, SentenceBert
from embeddings.files import sha256
from embeddings.formats.sentence_transformers import Dense
from embeddings.levels import Place, sequences
from embeddings.models import sentence_bert
from embeddings.models.pooling import NORMALIZE
from embeddings.objectives.sentences import Linear
from embeddings.parts.sentences import Tune
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.spelling import suggestion
from embeddings.tokenizers.pieces import Pieces
from embeddings.training import processes
from embeddings.training.architectures import sentences
from embeddings.training.job import Job

NEEDS = {"softmax": "class", "regression": "number", "cosine": "score", "contrastive": "class"}
"""The kind of label that a loss is trained on; a score is a number from -1 to 1."""
LABELLED = {"sst2": "SST2", "sst5": "SST5", "trec": "TREC", "subj": "SUBJ", "banking77": "Banking77"}
"""Sets of labelled texts whose training parts are examples of a text and its class."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Where one set comes from."""

    name: str
    read: Callable[[], Iterator[Example | Broken]]
    content: Callable[[], str]
    """What names its content."""
    label: str
    """"", "class", "score" or "number"."""

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Examples as ids on disk; see levels.Prepared."""

    settings: Experiment
    sets: tuple[examples.Stored, ...]
    pieces: Pieces
    start: Contextual | None = None
    """What training goes on from."""

    @property
    def config(self) -> sentence_bert.Config:
        """The model's configuration."""
        encoder = self.start.config if self.start else None
        return sentences.config(self.settings, self.pieces.size, encoder)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the examples, in order."""
        return self.sets[0].classes

    def job(self, mesh: Mesh) -> Job:
        """What the loop runs, on a mesh."""
        material = sentences.Material(self.sets, self.pieces.size, len(self.classes))
        return sentences.build(self.settings, material, mesh, self.initial)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the configuration."""
        self.pieces.save(folder / folders.TOKENIZER)
        folders.save_sentence_model(
            folder, self.family, self.config, self.settings.model.length, self.classes, self.parts,
            self.settings.model.joined,
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """What the model tells classes or numbers by, where it does."""
        part = self.settings.model
        return sentences.parts(part) if part.loss in ("softmax", "regression") and not part.matryoshka else ()

    @property
    def told(self) -> tuple[int, tuple[str, ...]] | None:
        """Of how many texts at once the model tells something, and its classes (none: a number); None of no head."""
        texts = 2 if self.settings.model.joined else Linear(1, self.parts).texts
        return (texts, self.classes) if self.parts else None

    @property
    def initial(self) -> tuple[sentence_bert.Config, Any] | None:
        """What training goes on from: the configuration, and parameters of it."""
        if not self.start:
            return None
        return self.config, {"model": self.start.params, "steps": started_steps(self.start, self.config)}

    @property
    def family(self) -> str:
        """What formats.families calls the encoder."""
        return self.start.family if self.start else "bert"

    def facts(self) -> dict[str, Any]:
        """The sets, what names their content, and sizes."""
        return {
            "sets": list(self.settings.examples.sets),
            "keys": [some.folder.name for some in self.sets],
            "examples": [len(some) for some in self.sets],
            "tokens": sum(some.tokens for some in self.sets),
            "cut": sum(some.cut for some in self.sets),
            "broken": sum(some.broken for some in self.sets),
            "classes": list(self.classes),
        }

    def opening(self) -> str:
        """Examples and tokens."""
        number, tokens = sum(map(len, self.sets)), sum(some.tokens for some in self.sets)
        part, texts = self.settings.model, f"{self.sets[0].columns} texts"
        if part.joined:
            texts = "two texts, read as one" + " in both orders" * part.both_orders
        return f"{number:,} examples of {texts}, {tokens:,} tokens"

    def model(self, tables: Any) -> Contextual | Elmo:
        """The model for use."""
        part = self.settings.model
        model = folders.sentence_model(
            self.family, self.config, tables["model"], self.pieces, part.length, joined=part.joined
        )
        if not self.parts:
            return model
        return dataclasses.replace(model, head=Head(self.classes, self.parts, tables["objective"]))


def find(settings: Experiment, place: Place, screen: Screen) -> tuple[Source, ...]:
    """The sets of the flags. Raises Problem or UsageProblem for one that is not there or does not go with the loss."""
    return tuple(_source(name, settings, place, screen) for name in settings.examples.sets)


def _source(name: str, settings: Experiment, place: Place, screen: Screen) -> Source:
    part: SentenceBert = settings.model
    need, path = NEEDS.get(part.loss, ""), Path(name)
    if name == example_sets.PYTHON_DOCS:
        def documentation() -> Iterator[Example]:
            return example_sets.documentation(place.cache)

        return _checked(Source(name, documentation, lambda: _digest(documentation()), ""), 2, part)
    if name in example_sets.SETS:
        if place.data is None:
            raise Problem(f"--examples.sets={name}: no folder of data sets is known: name it with EMBEDDINGS_DATA")
        one, data = example_sets.SETS[name], place.data
        label = one.label if need else ""
        label = "number" if (need, label) == ("number", "score") else label  # which a score is too
        return _checked(Source(name, lambda: one.read(data), lambda: _digest(one.read(data)), label), one.columns, part)
    if name in LABELLED and place.data is not None and labelled.find(place.data, (LABELLED[name],)):
        def labels() -> Iterator[Example]:
            train = labelled.parted(labelled.read(place.data, LABELLED[name])).train
            return (Example((text,), label) for text, label in zip(train.texts, train.labels, strict=True))

        return _checked(Source(name, labels, lambda: _digest(labels()), "class" if need else ""), 1, part)
    if not path.is_file():
        known = [*example_sets.SETS, *LABELLED, example_sets.PYTHON_DOCS]
        raise UsageProblem(f"--examples.sets={name}: no such file, and none of {', '.join(known)}"
                           f"{suggestion(name, known)}")
    given = settings.examples
    if need and not given.label:
        raise UsageProblem(f"--{settings.architecture}.loss={part.loss} needs a {need}: name its column with "
                           "--examples.label")

    def rows() -> Iterator[Example | Broken]:
        return example_files.read(path, given.columns, given.label if need else "")

    settled = "|".join((*given.columns, given.label))
    return _checked(Source(name, rows, lambda: sha256(path) + settled, need), len(given.columns), part)


def _checked(source: Source, columns: int, part: SentenceBert) -> Source:
    """The source. Raises UsageProblem where it does not go with the loss."""
    wanted, need = sentences.texts(part), NEEDS.get(part.loss, "")
    if columns < wanted or (part.loss != "in_batch" and columns > max(wanted, 1) and part.loss != "simcse"):
        raise UsageProblem(f"--examples.sets={source}: its examples have {columns} texts, loss {part.loss} needs "
                           f"{wanted}")
    if need and source.label != need:
        raise UsageProblem(f"--examples.sets={source}: it has {f'a {source.label}' if source.label else 'no label'}, "
                           f"loss {part.loss} needs a {need}")
    return source


def _digest(rows: Iterator[Example | Broken]) -> str:
    whole = hashlib.sha256()
    for row in rows:
        whole.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def prepare(settings: Experiment, source: tuple[Source, ...], place: Place, screen: Screen) -> Prepared:
    """The tokenizer and the examples, found in the cache but for the first time.

    Raises Problem for broken rows, fewer examples than a batch holds, and as levels.sequences.started_from does.
    """
    start = with_steps(started_from(settings, functools.partial(_texts, source)), settings.model)
    given, part = settings.examples, settings.model

    def stored() -> tuple[Pieces, tuple[examples.Stored, ...]]:
        made = tokenizer(settings, start, place, screen)
        return made, tuple(
            examples.prepare(
                str(one), one.read(), one.content(), made, part.length, place.cache, one.label,
                given.classes or (example_sets.CLASSES if one.name == "snli" else ()), given.broken == "skip",
                screen.amount, part.joined + part.both_orders,
            )
            for one in source
        )

    made, sets = processes.by_first_then_others("examples", stored)
    screen.end()
    for one, some in zip(source, sets, strict=True):
        if some.broken:
            screen.note(f"{one}: {some.broken:,} broken rows were left out, the first {some.first_broken}")
        if some.cut:
            what = "pairs" if part.joined else "texts"
            screen.note(f"{one}: {some.cut:,} {what} have more than {part.length} tokens and were cut")
    _check(settings, source, sets)
    prepared = Prepared(settings, sets, made, start)
    if settings.export and part.joined:
        _check_export(prepared)
    return prepared


def _texts(source: Sequence[Source]) -> Iterator[str]:
    for one in source:
        for example in one.read():
            if isinstance(example, Example):
                yield from example.texts


def _check(settings: Experiment, source: tuple[Source, ...], sets: tuple[examples.Stored, ...]) -> None:
    """Raises Problem for sets that do not go together or hold less than a batch."""
    number = sum(map(len, sets))
    if number < settings.train.batch:
        raise Problem(f"{', '.join(map(str, source))}: {number:,} examples, fewer than "
                      f"--train.batch={settings.train.batch} holds: lower it")
    if settings.model.loss == "contrastive" and len(sets[0].classes) != 2:
        raise Problem(f"{source[0]}: classes {', '.join(sets[0].classes)}: the contrastive loss takes two, the second "
                      "for pairs that belong together")
    for one, some in zip(source, sets, strict=True):
        if (some.columns, some.classes) != (sets[0].columns, sets[0].classes):
            raise Problem(f"{one}: {some.columns} texts and classes {', '.join(some.classes) or '-'} where {source[0]} "
                          f"has {sets[0].columns} and {', '.join(sets[0].classes) or '-'}: mix sets of one kind")


def _check_export(prepared: Prepared) -> None:
    """Raises UsageProblem where a cross-encoder has another form than transformers keeps."""
    settings, config = prepared.settings, prepared.config
    steps = [(step.width, step.activation) for step in config.steps]
    width, part = config.encoder.stack.width, settings.architecture
    why = tasks.unlike(prepared.family, config.pooling, steps, width)
    if why:
        can = f"train with --{part}.pooling=cls and --{part}.dense={width}, nothing after it, or " * bool(
            tasks.form(prepared.family, width)[1])  # other forms have no bias, and what is trained has one
        raise UsageProblem(f"--export={settings.export}: {why}: {can}leave it out: the run's folder is what there is "
                           "then")


def tokenizer(settings: Experiment, start: Contextual | None, place: Place, screen: Screen) -> Pieces:
    """That of the model that training goes on from, or the one that the flags name, or one made of the corpus."""
    if start and not settings.pieces.path:
        return start.tokenizer
    corpus = documents.find(
        settings.corpus, text=settings.text, data=place.data, cache=place.cache, progress=screen.amount
    )
    return pieces.chosen(corpus, settings.pieces, place.cache, screen.amount)


def started_from(settings: Experiment, texts: Callable[[], Iterator[str]]) -> Contextual | None:
    """The model that --start_from names, over the words of `texts` where it makes words of their characters (ELMo).

    Raises UsageProblem where it is none that gives states of tokens, and for what such a model cannot do.
    """
    if not settings.start_from:
        return None
    model = encoder.load(settings.start_from)
    if isinstance(model, encoder.WordVectors):
        model = words.model(model.words, np.asarray(model.vectors), model.tokenizer)
    _check_layer(settings, model)
    if isinstance(model, Elmo):
        if getattr(settings.model, "joined", False):
            raise UsageProblem(f"--{settings.architecture}.joined=true: --start_from={settings.start_from} is ELMo, "
                               "which reads single texts: leave it out")
        given = settings.architecture == "tagger" or settings.text.tokenizer == "whitespace"
        cut = dataclasses.replace(model.tokenizer, tokenizer="whitespace") if given else model.tokenizer
        model = words.of_elmo(dataclasses.replace(model, tokenizer=cut), texts(), settings.tune.elmo_layer)
    if not isinstance(model, Contextual):
        raise UsageProblem(f"--start_from={settings.start_from} is no contextual model: name another")
    if not model.config.is_transformer:
        _check_no_transformer(settings)
    sequences.check_sizes(settings, model)
    return dataclasses.replace(model, config=sequences.retrained(model.config, settings.model))


def _check_layer(settings: Experiment, model: Any) -> None:
    """Raises UsageProblem where one layer of ELMo is asked for and the model is another, or has fewer."""
    flag, start = f"--tune.elmo_layer={settings.tune.elmo_layer}", f"--start_from={settings.start_from}"
    if settings.tune.elmo_layer >= 0 and not isinstance(model, Elmo):
        raise UsageProblem(f"{flag} is for ELMo, which {start} is not: leave it out")
    if isinstance(model, Elmo) and settings.tune.elmo_layer > model.config.layers:
        raise UsageProblem(f"{flag}: {start} has 0 (the words' own vectors) to {model.config.layers}: lower it")


def _check_no_transformer(settings: Experiment) -> None:
    """Raises UsageProblem for what only a Transformer can do."""
    tune, default = settings.tune, Tune()
    asked = {"export": settings.export, "ablate.task": settings.ablate.task, "pieces.path": settings.pieces.path,
             "tune.layers": max(tune.layers, 0), "tune.only": tune.only.removeprefix(default.only),
             "tune.decay": tune.decay if tune.decay != default.decay else ""}
    for flag, value in asked.items():
        if value:
            raise UsageProblem(f"--{flag}={value} is for Transformers, which --start_from={settings.start_from} is "
                               "not: leave it out")


def with_steps(start: Contextual | None, part: SentenceBert) -> Contextual | None:
    """What training goes on from, BERT's pooler as a step after pooling where the flags have such a step."""
    if start and part.pooling == ("cls",) and part.dense[:1] == (start.config.stack.width,):
        return folders.with_pooler_as_step(start)
    return start


def started_steps(start: Contextual, config: sentence_bert.Config) -> list[tuple[np.ndarray, ...]]:
    """Kernel and bias of the first steps after pooling that a model has as a configuration wants them."""
    found: list[tuple[np.ndarray, ...]] = []
    for has, wanted in zip(start.pipeline.steps, config.steps, strict=False):
        scaling = not isinstance(has, Dense)
        same = (0, NORMALIZE) if scaling else (has.kernel.shape[1], has.activation)
        if start.pipeline.pooling != config.pooling or same != (wanted.width, wanted.activation):
            break
        bias = np.zeros(wanted.width, np.float32) if getattr(has, "bias", None) is None else has.bias
        found.append(() if scaling else (has.kernel, bias))
    return found
