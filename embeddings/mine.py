"""Finds hard negatives: for each pair, texts that a model takes for good answers and that are none.

    python -m embeddings.mine --model=all-MiniLM-L6-v2 --input=pairs.jsonl --output=triplets.jsonl
    python -m embeddings.train --architecture=sentence_bert --examples.sets=triplets.jsonl \\
        --examples.columns=text1,text2,text3 --run=runs/harder

The second texts of all pairs are ranked by their cosine with each first text, all answers of which are left out. What
is nearest of the rest is often right too, though nobody said so: --first leaves out the nearest, and --margin what is
not further off than the pair's own answer by so much. Pairs for which too few are left are left out, and counted.
"""
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from embeddings import command
from embeddings.fields import Count, Positive
from embeddings.files import check_output, write_whole
from embeddings.problems import Problem, UsageProblem


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is searched, and what counts."""

    model: str
    """What encodes: a run's folder, a file of word vectors, a folder of a contextual model, or a hub's name."""
    input: str
    """File of pairs: .jsonl, .csv, .tsv or .parquet."""
    output: str
    """File of examples to write, .jsonl with text1, text2 and text3, text4, ... for the negatives."""
    columns: tuple[str, ...] = ("text1", "text2")
    """Columns of the pair's texts."""
    negatives: Positive = 1
    """Negatives a pair."""
    first: Count = 0
    """How many of the nearest are left out, beside the pair's own answers."""
    last: Positive = 50
    """Rank that negatives are looked for up to, from the nearest on."""
    margin: float = 0.0
    """By how much a negative's cosine must be below that of the pair's own answer."""
    overwrite: bool = False
    """Whether a file that is there is replaced."""

    def validate(self) -> None:
        """Raises UsageProblem for values that do not go together."""
        if self.last < self.first + self.negatives:
            raise UsageProblem(f"--last={self.last}: ranks {self.first + 1} to {self.last} hold fewer than "
                               f"--negatives={self.negatives}: raise it")
        if len(self.columns) != 2:
            raise UsageProblem(f"--columns={','.join(self.columns)}: name two, a text and its answer")
        if Path(self.output).suffix != ".jsonl":
            raise UsageProblem(f"--output={self.output}: the name must end in .jsonl")


def main(flags: Flags, words: list[str]) -> None:
    """Encodes all texts once, ranks, and writes."""
    output = Path(flags.output)
    check_output(output, flags.overwrite)
    pairs = list(read(flags))
    command.cache()
    from embeddings import encoder, mining
    from embeddings.screen import Screen

    screen = Screen(sys.stderr)
    model = encoder.load(flags.model)
    screen.draw(f"encoding and ranking {len(pairs):,} pairs")
    window = mining.Window(flags.first, flags.last, flags.margin)
    found = list(mining.mined(model, pairs, window, flags.negatives))
    screen.end()
    rows = [{f"text{n}": text for n, text in enumerate(texts, 1)} for texts in found]
    if not rows:
        raise Problem("no pair has enough negatives: lower --margin or --first, or raise --last")
    write_whole(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{output}: {len(rows):,} examples with {flags.negatives} negatives each; {len(pairs) - len(rows):,} pairs "
          "left out, which have too few")


def read(flags: Flags) -> Iterator[tuple[str, str]]:
    """The pairs. Raises Problem with file and row for what is broken."""
    from embeddings.corpus import example_files

    if not Path(flags.input).is_file():
        raise Problem(f"--input={flags.input}: there is no such file: correct the path")
    for row in example_files.read(Path(flags.input), flags.columns):
        if isinstance(row, example_files.Broken):
            raise Problem(f"{row.where}: {row.what}: correct it")
        yield row.texts


if __name__ == "__main__":
    command.run(main, Flags)
