"""Takes a Transformer apart: what each attention head is worth to a task.

    python -m embeddings.ablate --model=all-MiniLM-L6-v2 --task=sts-b --output=ablations/minilm
    python -m embeddings.ablate --model=runs/mine --task=my_pairs.tsv --head=5.2,5.11 --output=ablations/mine

The folder gets heads.csv, heads.md, heads.html and, with the extra [plots], heads.png. A run that was cut off goes on
with the same command. A .tsv of one's own has two texts and a judgement a line, by tabs.
"""
import dataclasses
import os
import sys
from pathlib import Path

from embeddings import command
from embeddings.fields import Positive
from embeddings.files import write_whole
from embeddings.problems import Problem


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is taken apart, and what it is measured by."""

    model: str
    """A run's folder, a folder of sentence-transformers or transformers, or a hub's name."""
    output: str
    """Folder that results are written to, made if need be."""
    task: str = "sts-b"
    """sts-b, sts12 to sts16, sick-r, banking77, ag-news, cranfield, npl, quora, or a .tsv of texts, see above."""
    head: tuple[str, ...] = ()
    """Heads to ablate, as LAYER.HEAD, both from 0; empty takes all."""
    resamples: Positive = 1000
    """Draws of the bootstrap."""
    seed: int = 0
    """Of its draws."""
    data: str = ""
    """Folder of data sets; empty takes the environment variable EMBEDDINGS_DATA."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints a table and writes the folder."""
    folder = flags.data or os.environ.get("EMBEDDINGS_DATA", "")
    if flags.data and not Path(flags.data).is_dir():
        raise Problem(f"--data={flags.data}: no such folder")
    output = Path(flags.output)
    if output.exists() and not output.is_dir():
        raise Problem(f"--output={output}: is a file: name a folder")
    from embeddings import encoder
    from embeddings.heads import ablation, drawing, measures
    from embeddings.screen import Screen

    measure = measures.find(flags.task, Path(folder) if folder else None)
    model = encoder.load(flags.model)
    places = ablation.chosen(ablation.heads_of(model, flags.model), flags.head)
    screen = Screen(sys.stderr)

    def report(what: str, share: float) -> None:
        screen.amount(what, int(1e4 * share), 10000)

    found = ablation.run(model, measure, places, output, report, flags.resamples, flags.seed)
    screen.end()
    table = drawing.table(found)
    write_whole(output / "heads.csv", drawing.csv_text(found))
    write_whole(output / "heads.md", table.markdown())
    write_whole(output / "heads.html", drawing.page(found, flags.model))
    print(table.text(), flush=True)
    try:
        write_whole(output / "heads.png", drawing.picture(found))
    except Problem as problem:
        print(f"left out: heads.png: {problem}")


if __name__ == "__main__":
    command.run(main, Flags)
