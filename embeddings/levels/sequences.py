"""Running text: a tokenizer of pieces, the ids of a corpus, and its rows."""
import dataclasses
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from embeddings import encoder
from embeddings.contextual import folder as folders
from embeddings.contextual.model import Contextual
from embeddings.corpus import documents, pieces, shards
from embeddings.corpus.documents import Source
from embeddings.experiment import Experiment, Transformer
from embeddings.levels import Place
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.tokenizers.pieces import Pieces
from embeddings.training import processes
from embeddings.training.architectures import sequences
from embeddings.training.job import Job


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A corpus as rows of tokens; see levels.Prepared."""

    settings: Experiment
    source: Source
    pieces: Pieces
    tokens: shards.TokenShards
    text: sequences.Text
    start: Contextual | None = None
    """What training goes on from."""

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.start.config if self.start else sequences.config(self.settings, self.text.vocabulary)

    @property
    def family(self) -> str:
        """What formats.families calls the model."""
        return self.start.family if self.start else sequences.FAMILY[self.settings.architecture]

    def job(self, mesh: Mesh) -> Job:
        """What the loop runs, on a mesh."""
        initial = (self.start.config, self.start.params) if self.start else None
        return sequences.build(self.settings, self.text, mesh, initial)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the configuration."""
        self.pieces.save(folder / folders.TOKENIZER)
        sequences.save(folder, self.family, self.config)

    def facts(self) -> dict[str, Any]:
        """The corpus: its files, what names its content, and sizes."""
        return {
            "files": [file.name for file in self.source.files[:100]],
            "key": self.tokens.folder.name,
            "tokens": self.tokens.tokens,
            "lines": self.tokens.lines,
            "rows": len(self.text.rows),
            "vocabulary": self.text.vocabulary,
        }

    def opening(self) -> str:
        """Tokens, rows and how full they are."""
        rows = self.text.rows
        windows = len(rows.lengths)
        held = self.tokens.tokens + windows * (len(rows.before) + len(rows.after))
        return (f"{self.tokens.tokens:,} tokens, {self.text.vocabulary:,} different ones, in {len(rows):,} rows of "
                f"{rows.length} ({100 * held / (len(rows) * rows.length):.0f} % filled)")

    def model(self, tables: Any) -> Contextual:
        """The model for use."""
        return folders.in_use(self.family, self.config, tables, self.pieces)


def find(settings: Experiment, place: Place, screen: Screen) -> Source:
    """The files of the corpus. Raises Problem for what is not there."""
    return documents.find(
        settings.corpus, text=settings.text, data=place.data, cache=place.cache, progress=screen.amount
    )


def prepare(settings: Experiment, source: Source, place: Place, screen: Screen) -> Prepared:
    """The tokenizer, the numbered corpus and its rows, found in the cache but for the first time.

    Raises Problem for a text that nothing can be learnt from, and as `started_from` does.
    """
    start = started_from(settings)

    def numbered() -> tuple[Pieces, shards.TokenShards]:
        made = start.tokenizer if start else None
        return pieces.prepare(source, settings.pieces, place.cache, screen.amount, tokenizer=made)

    tokenizer, tokens = processes.by_first_then_others("corpus", numbered)
    screen.end()
    if tokens.replaced:
        screen.note(f"{tokens.replaced:,} invalid byte sequences were replaced by U+FFFD")
    text = processes.by_first_then_others(
        "rows", lambda: sequences.prepare(settings, tokens, tokenizer, place.cache)
    )
    if start and text.vocabulary > start.config.vocabulary:
        raise Problem(f"--pieces.path={settings.pieces.path}: {text.vocabulary:,} tokens where --start_from has rows "
                      f"for {start.config.vocabulary:,}: leave --pieces.path out")
    return Prepared(settings, source, tokenizer, tokens, text, start)


def started_from(settings: Experiment) -> Contextual | None:
    """The model that --start_from names. Raises UsageProblem where it is of another architecture or size."""
    if not settings.start_from:
        return None
    model = encoder.load(settings.start_from)
    if not isinstance(model, Contextual) or model.module is not sequences.MODELS[settings.architecture]:
        raise UsageProblem(f"--start_from={settings.start_from} is no model that "
                           f"--architecture={settings.architecture} can go on from: name another")
    check_sizes(settings, model)
    return dataclasses.replace(model, config=retrained(model.config, settings.model))


def check_sizes(settings: Experiment, model: Contextual) -> None:
    """Raises UsageProblem where flags ask for other sizes than a model has that training starts from."""
    part, default, stack = settings.model, type(settings.model)(), model.config.stack
    for name in ("layers", "width", "heads", "feed_forward"):
        asked, there = getattr(part, name), getattr(stack, name)
        if asked not in (getattr(default, name), there):
            raise UsageProblem(f"--{settings.architecture}.{name}={asked}, but --start_from={settings.start_from} has "
                               f"{there}: leave the flag out")
    if part.length > model.config.longest:
        raise UsageProblem(f"--{settings.architecture}.length={part.length}, but --start_from={settings.start_from} "
                           f"reads {model.config.longest} tokens at most: lower it")


def retrained(config: Any, part: Transformer) -> Any:
    """A model's configuration with what training sets."""
    if not config.is_transformer:
        return config.retrained(part.dropout, part.dtype)
    stack = dataclasses.replace(
        config.stack, dropout=part.dropout, attention_dropout=part.attention_dropout, dtype=part.dtype, remat=part.remat
    )
    return dataclasses.replace(config, stack=stack)
