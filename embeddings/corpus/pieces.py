"""A corpus as ids of pieces of words: its tokenizer, read or made from it, and its shards, both found again on disk."""
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embeddings import experiment
from embeddings.corpus import documents, shards, writing
from embeddings.corpus.documents import Block, Source
from embeddings.corpus.shards import Progress, TokenShards
from embeddings.corpus.vocabulary import in_order
from embeddings.problems import Problem
from embeddings.tokenizers.pieces import Pieces


@dataclasses.dataclass(frozen=True)
class Lines:
    """The lines of a corpus that a tokenizer is made of: every n-th block, so that they are about `size` bytes."""

    source: Source
    size: int
    progress: Progress | None = None

    def __iter__(self) -> Iterator[str]:
        """Anew each time."""
        total = sum(file.stat().st_size for file in self.source.files)
        every = max(1, total // self.size) if self.size else 1
        for number, block in enumerate(documents.blocks(self.source)):
            if number % every == 0:
                yield from block.text.decode().removesuffix("\n").split("\n")
            if self.progress:
                self.progress("making the tokenizer", block.read, total)


def chosen(
    source: Source, config: experiment.Pieces, cache: Path, progress: Progress | None = None
) -> Pieces:
    """The tokenizer that the flags name, or one made of the corpus, once: the same lines give the same one.

    Raises Problem for a path without a tokenizer, and for a corpus that none of this size can be made of.
    """
    if config.path:
        return Pieces.load(config.path)
    settings = dataclasses.asdict(config)
    folder = cache / f"tokenizer-{shards.key(source, {'pieces': settings}, progress)}"
    if not folder.exists():
        lines = Lines(source, config.sample * 1_000_000, progress)
        made = Pieces.train(config.kind, lines, config.size, config.lower)
        with writing.written(folder) as part:
            made.save(part)
            (part / writing.MANIFEST).write_text("{}")
    return Pieces.load(folder)


def prepare(
    source: Source,
    config: experiment.Pieces,
    cache: Path,
    progress: Progress | None = None,
    workers: int | None = None,
    tokenizer: Pieces | None = None,
) -> tuple[Pieces, TokenShards]:
    """The tokenizer of a corpus and its ids, line by line, without special tokens; made or found in `cache`.

    `tokenizer` is one that is there already, unless the flags name another.

    Raises Problem as `chosen` does, for text that cannot be read, and for a cache that cannot be written.
    """
    pieces = tokenizer if tokenizer and not config.path else chosen(source, config, cache, progress)
    folder = cache / f"tokens-{shards.key(source, {'tokenizer': pieces.digest()}, progress, workers)}"
    if not folder.exists():

        def encoded(block: Block) -> tuple[np.ndarray, np.ndarray, Block]:
            found = pieces.encode(block.text.decode().removesuffix("\n").split("\n"), special=False)
            return found.ids, found.starts[:-1][found.lengths > 0], dataclasses.replace(block, text=b"")

        with writing.written(folder) as part:
            writer, tokens, replaced = writing.ShardWriter(part), 0, 0
            for ids, starts, block in in_order(encoded, shards.reported(source, progress), workers or 2):
                writer.add(ids, starts)
                tokens, replaced = tokens + len(ids), replaced + block.replaced
            sizes = writer.close()
            if not tokens:
                raise Problem(f"{source}: no text in it; name another --corpus")
            writing.finish(part, sizes, tokens, replaced)
    return pieces, TokenShards(folder)
