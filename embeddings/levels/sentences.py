"""Examples of texts: sets by name or files, a tokenizer, and what is made of both."""
import dataclasses
import functools
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from embeddings.contextual import folder as folders
from embeddings.contextual import tasks
from embeddings.contextual.classes import Head
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.model import Contextual
from embeddings.corpus import documents, example_sets, examples, pieces
from embeddings.experiment import Experiment
from embeddings.levels import Place, beginning, example_sources
from embeddings.levels.example_sources import Source, texts
from embeddings.models import sentence_bert
from embeddings.objectives.sentences import Linear
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.tokenizers.pieces import Pieces
from embeddings.training import processes
from embeddings.training.architectures import sentences
from embeddings.training.job import Job


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
        return self.config, {"model": self.start.params, "steps": beginning.steps(self.start, self.config)}

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
    return tuple(example_sources.source(name, settings, place) for name in settings.examples.sets)


def prepare(settings: Experiment, source: tuple[Source, ...], place: Place, screen: Screen) -> Prepared:
    """The tokenizer and the examples, found in the cache but for the first time.

    Raises Problem for broken rows, fewer examples than a batch holds, and as levels.beginning.model does.
    """
    start = beginning.with_steps(beginning.model(settings, functools.partial(texts, source)), settings.model)
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
