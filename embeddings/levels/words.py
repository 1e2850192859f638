"""Words: a vocabulary, the numbers of a corpus's words, and what an architecture makes of them."""
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from embeddings import encoder
from embeddings.corpus import documents, shards
from embeddings.corpus.documents import Source
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.encoder import WordVectors
from embeddings.experiment import Experiment
from embeddings.levels import Place
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.training import architectures, processes, run_folder
from embeddings.training import job as jobs


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A numbered corpus; see levels.Prepared."""

    settings: Experiment
    source: Source
    vocabulary: Vocabulary
    tokens: shards.TokenShards
    material: Any
    """What the architecture makes of it."""

    def job(self, mesh: Mesh) -> jobs.Job:
        """What the loop runs, on a mesh."""
        return architectures.of(self.settings).build(self.settings, self.material, mesh, self._initial())

    def _initial(self) -> jobs.Initial | None:
        """The vectors that --start_from names, of the words in common. Raises Problem where none fits."""
        settings = self.settings
        if not settings.start_from:
            return None
        there = encoder.load(settings.start_from)
        if not isinstance(there, WordVectors):
            raise UsageProblem(f"--start_from={settings.start_from} is no model of words: name word vectors")
        width = there.vectors.shape[1]
        if width != settings.model.width:
            flag = f"--{settings.architecture}.width"
            raise UsageProblem(f"--start_from={settings.start_from} has vectors of {width}: set {flag}={width}")
        words = self.vocabulary.words
        common = [(row, there.index[word]) for row, word in enumerate(words) if word in there.index]
        if not common:
            raise Problem(f"--start_from={settings.start_from}: no word in common with the corpus: name another")
        here, rows = np.array(common, np.int32).T
        return jobs.Initial(here, there.vectors[rows])

    def save(self, folder: Path) -> None:
        """Writes the vocabulary."""
        self.vocabulary.save(folder / run_folder.VOCABULARY)

    def facts(self) -> dict[str, Any]:
        """The corpus: its files, what names its content, and sizes."""
        return {
            "files": [file.name for file in self.source.files[:100]],
            "key": self.tokens.folder.name,
            "words": self.vocabulary.total,
            "tokens": self.tokens.tokens,
            "lines": self.tokens.lines,
            "vocabulary": len(self.vocabulary.words),
        }

    def opening(self) -> str:
        """Words, those that are left, and how many different ones."""
        total, different = self.vocabulary.total, len(self.vocabulary.words)
        return f"{self.tokens.tokens:,} of {total:,} words of text, {different:,} different"

    def model(self, tables: jobs.Tables) -> WordVectors:
        """The vectors of words."""
        return encoder.encoded(self.settings, self.vocabulary, tables)


def find(settings: Experiment, place: Place, screen: Screen) -> Source:
    """The files of the corpus. Raises Problem for what is not there."""
    if settings.start_from and not Path(settings.start_from).exists():
        raise Problem(f"--start_from={settings.start_from}: no such run folder or file of vectors: correct the path")
    return documents.find(
        settings.corpus, text=settings.text, data=place.data, cache=place.cache, progress=screen.amount
    )


def prepare(settings: Experiment, source: Source, place: Place, screen: Screen) -> Prepared:
    """The vocabulary, the numbered corpus and what the architecture makes of it, found in the cache but for the first.

    Raises Problem for a text that no vectors can be learnt from.
    """

    def numbered() -> tuple[Vocabulary, shards.TokenShards]:
        return shards.prepare(source, settings.text, settings.vocabulary, place.cache, screen.amount)

    vocabulary, tokens = processes.by_first_then_others("corpus", numbered)
    screen.end()
    if tokens.replaced:
        screen.note(f"{tokens.replaced:,} invalid byte sequences were replaced by U+FFFD")
    if tokens.note:
        screen.note(tokens.note)
    if tokens.tokens == tokens.lines:
        raise Problem(
            f"{source}: no word has a neighbour in its line, so there is nothing to learn: put whole sentences on a "
            f"line, or lower --vocabulary.min_count={settings.vocabulary.min_count}"
        )
    corpus = jobs.Corpus(vocabulary.words, vocabulary.counts, tokens, place.cache, screen.amount)
    prepare = architectures.of(settings).prepare
    material = processes.by_first_then_others("material", lambda: prepare(settings, corpus))
    screen.end()
    return Prepared(settings, source, vocabulary, tokens, material)
