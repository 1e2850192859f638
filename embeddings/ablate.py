"""Takes a Transformer apart: what each attention head and layer is worth to a task, and what heads look at.

    python -m embeddings.ablate --model=all-MiniLM-L6-v2 --task=sts-b --output=ablations/minilm
    python -m embeddings.ablate --model=runs/mine --task=my_pairs.tsv --head=5.2,5.11 --output=ablations/mine
    python -m embeddings.ablate --model=FOLDER --task=mnli --output=ablations/mnli
    python -m embeddings.ablate --model=all-MiniLM-L6-v2 --part=patterns --sentence='The dog saw it.' --output=patterns
    python -m embeddings.ablate --model=FOLDER --part=dependencies --text=en_ewt-ud-dev.conllu --output=dependencies
    python -m embeddings.ablate --model=all-MiniLM-L6-v2 --part=pruning,gates,layers --output=ablations/minilm

Each part writes tables (.csv, .md) and pages of HTML that need nothing else; heads and pruning also a picture, with the
extra [plots]. Parts:

    heads           scores without each head, and with each alone in its layer; gradient importance. Cut off, it goes on
    patterns        entropy, distance, special tokens, neighbours, punctuation; clusters; the attention of --sentence
    dependencies    of each relation of the treebank --text the head that looks from a word at the one it depends on
    pruning         score against heads pruned, by gradient importance, by ablation (where `heads` is done) and
                    greedily; writes the model without --prune of its heads, smaller and faster, to pruned/
    gates           L0 gates learned on half of the task's items; the model without the closed heads, to gated/
    layers          states pooled after each layer, the model without each, a mix of layers learned on half of the items

A .tsv of one's own has two texts and a judgement a line, by tabs: numbers, which cosines are held against, or names of
classes. Of classes, and for mnli, mnli-mm, snli, mrpc, sst2, sst5, trec, subj and GLUE's other sets, the model's own
head tells each text or pair (as a *ForSequenceClassification, a cross-encoder or a classifier that was trained here),
and the score is its accuracy; a line may then have one text. The score of perplexity (causal models) and masked-lm
(masked ones, every seventh token masked) is log p a token, so that more is better.

Dependencies need no task, but a treebank in CoNLL-U or CoNLL-X. A word is found by who it looks at most, or by who
looks most at it; beside stands the best fixed offset. The table has each relation's best head, dependencies.csv all.
"""
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Literal

from embeddings import command
from embeddings.fields import AboveZero, Positive, Share
from embeddings.problems import Problem, UsageProblem


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is taken apart, and what it is measured by."""

    model: str
    """A run's folder, a folder of sentence-transformers or transformers, or a hub's name."""
    output: str
    """Folder that results are written to, made if need be."""
    task: str = "sts-b"
    """sts-b, sts12 to sts16, sick-r, banking77, ag-news, cranfield, npl, quora, perplexity, masked-lm; by the model's
    own classes mnli, mnli-mm, snli, mrpc, sst2, sst5, trec, subj, glue-cola, glue-sst-2, glue-mrpc, glue-qqp,
    glue-qnli, glue-rte; or a .tsv of texts, see above."""
    text: str = ""
    """File that perplexity and masked-lm are of, a line an item, or the treebank of dependencies, in CoNLL-U or
    CoNLL-X."""
    part: tuple[Literal["heads", "patterns", "dependencies", "pruning", "gates", "layers"], ...] = ("heads",)
    """What is done; see above."""
    head: tuple[str, ...] = ()
    """Heads to ablate, or to look at, as LAYER.HEAD, both from 0; empty takes all."""
    resamples: Positive = 1000
    """Draws of the bootstrap."""
    seed: int = 0
    """Of its draws, and of the gates'."""
    sentence: str = ""
    """Whose attention is drawn: of --head in the terminal, of all heads in attention.html. A tab is between two texts
    that are read as one."""
    texts: Positive = 200
    """Texts of the task that patterns are means over."""
    clusters: Positive = 6
    """Clusters of heads."""
    points: Positive = 12
    """Points of a curve of pruning, beside the whole model."""
    greedy: Positive = 200
    """Items that the greedy order is found on, of those that orders are found on (every second one)."""
    prune: Share = 0.5
    """Share of the heads that the pruned model is without."""
    penalty: AboveZero = 0.003
    """What an open gate costs."""
    steps: Positive = 300
    """Steps that gates are learned in."""
    data: str = ""
    """Folder of data sets; empty takes the environment variable EMBEDDINGS_DATA."""

    @property
    def measures(self) -> bool:
        """Whether some part needs the task."""
        return {*self.part} != {"dependencies"}

    def validate(self) -> None:
        """Raises UsageProblem for values that do not go together."""
        if not self.part:
            raise UsageProblem("--part is empty: choose heads, patterns, dependencies, pruning, gates or layers")
        if "dependencies" in self.part:
            if not self.text:
                raise UsageProblem("--part=dependencies: name a treebank, in CoNLL-U or CoNLL-X, with --text")
            if self.measures and self.task in ("perplexity", "masked-lm"):
                raise UsageProblem(f"--part=dependencies takes --text too, which --task={self.task} is of: run the "
                                   "parts one after the other")
        elif bool(self.text) != (self.task in ("perplexity", "masked-lm")):
            raise UsageProblem(f"--task={self.task}: leave out --text" if self.text else
                               f"--task={self.task}: name a file of lines with --text")
        if self.sentence and "patterns" not in self.part:
            raise UsageProblem("--sentence is for patterns: add it to --part")


def main(flags: Flags, words: list[str]) -> None:
    """Prints tables and writes the folder."""
    folder = flags.data or os.environ.get("EMBEDDINGS_DATA", "")
    if flags.data and not Path(flags.data).is_dir():
        raise Problem(f"--data={flags.data}: no such folder")
    output = Path(flags.output)
    if output.exists() and not output.is_dir():
        raise Problem(f"--output={output}: is a file: name a folder")
    from embeddings import encoder
    from embeddings.evaluation import treebank
    from embeddings.heads import ablation, dependencies, parts, tasks
    from embeddings.screen import Screen

    bank = treebank.read(Path(flags.text)) if "dependencies" in flags.part else None
    task = tasks.find(flags.task, flags.text, Path(folder) if folder else None) if flags.measures else None
    model = encoder.load(flags.model)
    places = ablation.chosen(ablation.heads_of(model, flags.model), flags.head)
    if bank:
        dependencies.check(model, f"--model={flags.model}")
    model, measure = task.ready(model, f"--model={flags.model}") if task else (model, None)
    if flags.sentence:
        parts.sentence(model, flags.sentence)
    output.mkdir(parents=True, exist_ok=True)
    screen = Screen(sys.stderr)

    def report(what: str, share: float) -> None:
        screen.amount(what, int(1e4 * share), 10000)

    work = parts.Work(flags, model, measure, places, output, report, time.perf_counter, bank)
    for name in flags.part:
        for told in getattr(parts, name)(work):
            screen.end()
            print(told, flush=True)


if __name__ == "__main__":
    command.run(main, Flags)
