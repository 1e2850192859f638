"""The parts of the command: each does its work, writes its files and yields what is shown."""
import csv
import dataclasses
import io
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from embeddings.contextual import folder, removal
from embeddings.contextual import texts as reading
from embeddings.contextual.model import Contextual
from embeddings.contextual.removal import Place
from embeddings.evaluation.table import Percent, Table
from embeddings.evaluation.treebank import Treebank
from embeddings.files import write_whole
from embeddings.heads import ablation, attention_page, drawing, importance
from embeddings.heads import dependencies as told
from embeddings.heads import gates as l0
from embeddings.heads import layers as stack
from embeddings.heads import patterns as looks
from embeddings.heads import pruning as curves
from embeddings.heads.ablation import Report
from embeddings.heads.measures import Measure, encoded, halves, spaced, written
from embeddings.problems import Problem, UsageProblem

SPEED, ROUNDS = 500, 3
"""Texts that a smaller model is timed on, and how often; the fastest counts."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a part is given."""

    flags: Any
    """ablate.Flags."""
    model: Contextual
    measure: Measure | None
    """Of the task; None where no part needs one."""
    places: Sequence[Place]
    """Heads that were asked for."""
    output: Path
    report: Report
    clock: Callable[[], float]
    """Seconds."""
    treebank: Treebank | None = None
    """Where dependencies are asked for."""


def _write(output: Path, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *tables: Table) -> None:
    """NAME.csv with full digits, and NAME.md."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *rows])
    write_whole(output / f"{name}.csv", text.getvalue())
    write_whole(output / f"{name}.md", "\n".join(table.markdown() for table in tables))


def heads(work: Work) -> Iterator[str]:
    """heads.csv, heads.md, heads.html, heads.png."""
    flags, output = work.flags, work.output
    found = ablation.run(work.model, work.measure, work.places, output, work.report, flags.resamples, flags.seed)
    table = drawing.table(found)
    _write(output, "heads", drawing.COLUMNS, drawing.rows(found), table)
    write_whole(output / "heads.html", drawing.page(found, flags.model))
    yield table.text()
    yield from _drawing(output / "heads.png", lambda: drawing.picture(found))


def _drawing(path: Path, draw: Callable[[], bytes]) -> Iterator[str]:
    """Writes a picture, or says why there is none."""
    try:
        write_whole(path, draw())
    except Problem as problem:
        yield f"left out: {path.name}: {problem}"


def patterns(work: Work) -> Iterator[str]:
    """patterns.csv, patterns.md; attention.html where there is a sentence."""
    flags, model, measure, output, report = work.flags, work.model, work.measure, work.output, work.report
    if flags.sentence:
        yield from _drawn(work)
    texts = list(itertools.compress(measure.texts, written(measure.texts)))[: flags.texts]
    found = looks.measured(model, texts, lambda done: report("reading attention", done / len(texts)))
    cluster = looks.clusters(found.divergence, min(flags.clusters, len(found.places)))
    plane = looks.flat(found.divergence)
    rows = [(*place, *map(float, values), int(c), float(x), float(y)) for place, values, c, (x, y)
            in zip(found.places, found.values, cluster, plane, strict=True)]
    note = (f"Means over {found.tokens:,} tokens of {len(texts):,} texts: entropy in nats, distance in tokens, the "
            "others shares of the weight a token gives. Clusters by Jensen-Shannon divergence.")
    columns = ("layer", "head", *looks.NAMES, "cluster")
    table = Table("What heads look at", columns, tuple(row[:-2] for row in rows), (note,))
    groups = tuple(
        (int(c), int(np.sum(cluster == c)), *map(float, found.values[cluster == c].mean(axis=0)),
         " ".join(f"{layer}.{head}" for (layer, head), mine in zip(found.places, cluster, strict=True) if mine == c))
        for c in np.unique(cluster))
    clusters = Table("Clusters of heads", ("cluster", "heads", *looks.NAMES, "LAYER.HEAD"), groups)
    _write(output, "patterns", (*columns, "x", "y"), rows, table, clusters)
    yield table.text()
    yield clusters.text()


def _drawn(work: Work) -> Iterator[str]:
    """The attention of the sentence: of all heads as a page, of those that were named, or else the first, as text."""
    flags, model, places = work.flags, work.model, work.places
    text = sentence(model, flags.sentence)
    weights, there = model.attention(text), removal.heads(model)
    read = reading.read(model.tokenizer, [text], model.longest, model.pipeline)
    tokens = [model.tokenizer.tokens[i] for i in read.ids]
    write_whole(work.output / "attention.html", attention_page.page(tokens, list(weights), there, flags.sentence))
    for layer, head in places if flags.head else places[:1]:
        yield attention_page.lines(tokens, weights[layer][there[layer].index(head)], f"layer {layer}, head {head}")


def sentence(model: Contextual, said: str) -> str | tuple[str, ...]:
    """What --sentence says, a text or a pair. Raises UsageProblem where the model reads the other."""
    pair, joined = tuple(said.split("\t")), model.pipeline.joined
    if joined and len(pair) != 2:
        raise UsageProblem(f"--sentence={said}: the model reads two texts as one: give both, a tab between them")
    return pair if len(pair) == 2 and joined is not False else said


def dependencies(work: Work) -> Iterator[str]:
    """dependencies.csv, dependencies.md."""
    found = told.measured(work.model, work.treebank, work.places,
                          lambda share: work.report("reading attention", share))
    _write(work.output, "dependencies", told.COLUMNS, told.rows(found), told.table(found))
    yield told.table(found, told.FEWEST).text()


def pruning(work: Work) -> Iterator[str]:
    """pruning.csv, pruning.md, pruning.png, pruned/."""
    flags, model, measure, output, report = work.flags, work.model, work.measure, work.output, work.report
    vectors = encoded(model, measure)
    learned_on, others = halves(len(measure.items(vectors)))
    loss = measure.loss(vectors).part(learned_on)
    gradients = importance.gradients(model, measure.texts, vectors, loss,
                                     lambda done: report("gradients of heads", done / loss.members.size))
    weight = importance.importance(gradients)
    every = [(layer, head) for layer, some in enumerate(removal.heads(model)) for head in some]
    orders = {"gradient": sorted(every, key=lambda place: weight[place])}
    if (output / ablation.PARTS).is_dir() and len(work.places) == len(every):
        without = ablation.swept(model, measure, work.places, output, report).without()
        orders["ablation"] = sorted(every, key=lambda place: -measure.score(without[place], learned_on))
    small = measure.part(spaced(learned_on, flags.greedy))
    steps = curves.greedy(model, small, flags.points, lambda share: report("pruning greedily", share))
    orders["greedy"] = list(itertools.chain(*(point.heads for point in steps)))
    found = {name: curves.by_order(model, measure, order, flags.points, lambda share, name=name: report(
        f"pruning by {name}", share), others) for name, order in orders.items()}
    rows = [(name, point.pruned, point.pruned / len(every), point.score,
             " ".join(f"{layer}.{head}" for layer, head in point.heads)) for name, curve in found.items()
            for point in curve]
    by_count = zip(*found.values(), strict=True)
    table = Table(f"{measure.name}: {measure.metric} against heads pruned", ("pruned", "%", *found), tuple(
        (points[0].pruned, Percent(points[0].pruned / len(every)), *(f"{point.score:.4f}" for point in points))
        for points in by_count), (f"Orders are found on every second item, the greedy one on {flags.greedy:,} of them "
                                  "at most; scores are of the others.",))
    _write(output, "pruning", ("order", "pruned", "share", "score", "heads"), rows, table)
    yield table.text()
    yield from _drawing(output / "pruning.png", lambda: drawing.curves(table.title, found))
    best = max(found, key=lambda name: sum(point.score for point in found[name]))
    gone = list(itertools.chain(*(point.heads for point in found[best])))[: round(flags.prune * len(every))]
    yield _smaller(work, gone, "pruned", f"by {best}", others)


def _smaller(work: Work, gone: Sequence[Place], name: str, how: str, others: Int[np.ndarray, "some"]) -> str:
    """Writes the model without some heads, or says why not; and what it is worth on the `others`, and how fast it is
    beside the whole one."""
    model, measure, texts = work.model, work.measure, work.measure.texts[:SPEED]
    less = removal.removed(model, removal.kept(model, gone))
    if (work.output / name / folder.HEADS).is_file():  # of an earlier run
        shutil.rmtree(work.output / name)
    try:
        folder.write(work.output / name, less)
        where = str(work.output / name)
    except Problem as problem:  # it may be none of others' folders, and still be measured
        where = f"left out: {name}/: {problem}\n{name}"
    seconds = np.empty((ROUNDS + 1, 2))
    for n, which in np.ndindex(*seconds.shape):  # in turn; the first round compiles
        began = work.clock()
        (model, less)[which].encode(texts)
        seconds[n, which] = work.clock() - began
    before, after = np.min(seconds[1:], axis=0)
    score = measure.score(measure.items(encoded(less, measure)), others)
    return (f"{where}: {how}, {len(gone)} heads removed; {measure.metric} {score:.4f}; "
            f"{removal.parameters(model):,} parameters, now {removal.parameters(less):,}; {len(texts):,} texts in "
            f"{before:.2f} s, now {after:.2f} s: {before / after:.2f}x\n")


def gates(work: Work) -> Iterator[str]:
    """gates.csv, gates.md, gated/."""
    flags, model, measure, report = work.flags, work.model, work.measure, work.report
    vectors = encoded(model, measure)
    learned_on, others = halves(len(measure.items(vectors)))
    how = l0.Training(flags.penalty, flags.steps, seed=flags.seed)
    log_alpha = l0.learned(model, measure, vectors, learned_on, how,
                           lambda share: report("learning gates", share))
    settled = l0.settled(log_alpha)
    gone = [(int(layer), int(head)) for layer, head in zip(*np.nonzero(settled == 0), strict=True)]

    def score(**how: Any) -> float:
        return measure.score(measure.items(encoded(model, measure, **how)), others)

    rows = [(layer, head, float(log_alpha[layer, head]), float(settled[layer, head]))
            for layer, head in np.ndindex(*settled.shape)]
    table = Table(f"{measure.name}: L0 gates", ("", measure.metric), (
        ("all heads", f"{score():.4f}"), ("gates as learned", f"{score(head_mask=settled):.4f}"),
        (f"{len(gone)} of {len(rows)} heads closed, the others whole",
         f"{score(head_mask=curves.mask(model, gone)):.4f}")),
        ("Gates are learned on every second item, scores are of the others.",))
    _write(work.output, "gates", ("layer", "head", "log_alpha", "gate"), rows, table)
    yield table.text()
    yield _smaller(work, gone, "gated", "by gates", others)


def layers(work: Work) -> Iterator[str]:
    """layers.csv, layers.md."""
    model, measure = work.model, work.measure
    found = stack.measured(model, measure, work.report)
    weights = found.weights or (None,) * len(found.pooled)
    rows = [(layer, pooled, weight, found.without[layer - 1] if layer else None)
            for layer, (pooled, weight) in enumerate(zip(found.pooled, weights, strict=True))]
    note = ("Layers from 1, 0 is what goes into the first. Score by the states after each, their weight in a mix "
            "learned on every second item, score without the layer.")
    if found.half:
        note += " On the other items: the last layer {:.4f}, the mix {:.4f}.".format(*found.half)
    shown = tuple((layer, f"{pooled:.4f}", "" if weight is None else weight,
                   "" if without is None else f"{without:.4f}") for layer, pooled, weight, without in rows)
    table = Table(f"{measure.name}: {measure.metric} {found.score:.4f} with all layers",
                  ("layer", "pooled", "mix", "without"), shown, (note,))
    _write(work.output, "layers", ("layer", "pooled", "mix", "without"), rows, table)
    yield table.text()
