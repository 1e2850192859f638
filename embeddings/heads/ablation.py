"""What each head is worth to a task: its score without the head, and with the head alone in its layer.

Layers are done one after the other, and what is known of one is a file before the next begins, so that a run that was
cut off goes on where it was.

Shapes: n texts, m items, H heads asked about of a layer, L layers, R draws.
"""
import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from embeddings.contextual.model import Contextual
from embeddings.contextual.removal import Kept, Place
from embeddings.contextual.removal import heads as all_heads
from embeddings.files import write_whole
from embeddings.heads import bootstrap, importance
from embeddings.heads.bootstrap import Difference
from embeddings.heads.measures import Measure, encoded, without_blank
from embeddings.heads.sweep import sweep_of
from embeddings.problems import Problem, UsageProblem

PARTS, SETTINGS = "parts", "settings.json"
Report = Callable[[str, float], None]
"""Told what is done, and which share of it."""


@dataclasses.dataclass(frozen=True)
class Head:
    """A head of a layer."""

    layer: int
    head: int
    """As the model was before any was pruned."""
    without: float
    """Score without it."""
    alone: float
    """Score with it alone in its layer."""
    change: Difference
    """Score without it less the model's."""
    significant: bool
    """Of all heads of the table; see bootstrap.significant."""
    importance: float
    """See importance.py."""


@dataclasses.dataclass(frozen=True)
class Ablation:
    """All heads that were asked about."""

    task: str
    metric: str
    score: float
    """With all heads."""
    items: int
    heads: tuple[Head, ...]


def heads_of(model: object, name: str) -> Kept:
    """The heads of each layer of a model. Raises Problem where it has none."""
    stack = getattr(getattr(model, "config", None), "stack", None)
    if not isinstance(model, Contextual) or not stack.layers:
        raise Problem(f"--model={name}: {type(model).__name__} has no attention heads: name a Transformer, such as a "
                      "folder of BERT or all-MiniLM-L6-v2")
    return all_heads(model)


def chosen(heads: Sequence[Sequence[int]], asked: Sequence[str]) -> tuple[Place, ...]:
    """The heads `LAYER.HEAD` that are asked for, all where none is. Raises UsageProblem for one that is not there."""
    every = tuple((layer, head) for layer, some in enumerate(heads) for head in some)
    places = []
    for text in asked:
        layer, _, head = text.partition(".")
        place = (int(layer), int(head)) if layer.isdecimal() and head.isdecimal() else None
        if place not in every:
            raise UsageProblem(f"--head={text}: no such head: write LAYER.HEAD, layers 0 to {len(heads) - 1}, heads 0 "
                               f"to {max(itertools.chain(*heads))}")
        places.append(place)
    return tuple(dict.fromkeys(places)) or every


def run(
    model: Contextual,
    measure: Measure,
    places: Sequence[Place],
    folder: Path,
    report: Report,
    resamples: int = 1000,
    seed: int = 0,
) -> Ablation:
    """Ablates heads and judges what comes out; raises as `swept`."""
    return _judged(model, measure, swept(model, measure, places, folder, report), resamples, seed)


class Swept(NamedTuple):
    """What each item is without a head and with it alone, before any score is taken."""

    base: Mapping[str, np.ndarray]
    """`items` [m] with all heads, `importance` [L, H]."""
    by_layer: Mapping[int, Sequence[int]]
    """The heads of each layer that were asked for."""
    found: Mapping[int, Mapping[str, np.ndarray]]
    """Of each layer `without` and `alone`, [H, m]."""

    def without(self) -> dict[Place, Float[np.ndarray, "m"]]:
        """The items without each head."""
        return {(layer, head): items for layer, heads in self.by_layer.items()
                for head, items in zip(heads, self.found[layer]["without"], strict=True)}


def swept(model: Contextual, measure: Measure, places: Sequence[Place], folder: Path, report: Report) -> Swept:
    """Ablates heads, keeping in `folder` what is known. Raises Problem where that holds another ablation's."""
    parts = _opened(folder / PARTS, model, measure, places)
    base = _kept(parts / "base.npz", lambda: _base(model, measure, report))
    by_layer: dict[int, list[int]] = {}
    for layer, head in places:
        by_layer.setdefault(layer, []).append(head)
    found, done = {}, 0.0
    total = sum(_cost(model, layer) for layer in by_layer)
    for layer, heads in by_layer.items():
        share, before = _cost(model, layer) / total, done

        def tell(part: float, share: float = share, before: float = before) -> None:
            report("ablating heads", before + share * part)

        found[layer] = _kept(parts / f"layer_{layer:02}.npz",
                             lambda layer=layer, heads=heads, tell=tell: _layer(model, measure, layer, heads, tell))
        done += share
    return Swept(base, by_layer, found)


def _cost(model: Contextual, layer: int) -> int:
    return model.config.stack.layers - layer


def _opened(parts: Path, model: Contextual, measure: Measure, places: Sequence[Place]) -> Path:
    """The folder of what is known, of this ablation."""
    hashed = hashlib.sha256()
    for leaf in jax.tree.leaves(model.placed):
        hashed.update(np.asarray(leaf).tobytes())
    lines = "\n".join(text if isinstance(text, str) else "\t".join(text) for text in measure.texts)
    texts = hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()
    said = {"task": measure.name, "texts": texts, "model": hashed.hexdigest(), "heads": [list(p) for p in places]}
    said |= {"items": measure.key} if measure.key else {}
    path = parts / SETTINGS
    parts.mkdir(parents=True, exist_ok=True)
    if path.is_file() and json.loads(path.read_bytes()) != said:
        raise Problem(f"--output={parts.parent}: holds the ablation of another model, task or choice of heads: choose "
                      "another folder")
    write_whole(path, json.dumps(said, indent=1) + "\n")
    return parts


def _kept(path: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """The arrays of a file, made where it is not there."""
    if path.is_file():
        try:
            with np.load(path) as file:
                return dict(file)
        except (OSError, ValueError, EOFError):
            path.unlink()
    made, content = make(), io.BytesIO()
    np.savez(content, **made)
    write_whole(path, content.getvalue())
    return made


def _base(model: Contextual, measure: Measure, report: Report) -> Mapping[str, np.ndarray]:
    report("encoding", 0.0)
    vectors = encoded(model, measure)
    loss = measure.loss(vectors)
    total = loss.members.size
    gradients = importance.gradients(model, measure.texts, vectors, loss,
                                     lambda done: report("gradients of heads", done / total))
    return {"items": measure.items(vectors), "importance": importance.importance(gradients)}


def masks(number: int, which: Sequence[int]) -> Float[np.ndarray, "M H"]:
    """Of a layer with so many heads: without each of `which`, then with each of them alone."""
    alone = np.eye(number, dtype=np.float32)[list(which)]
    return np.concatenate([1 - alone, alone])


def _layer(
    model: Contextual, measure: Measure, layer: int, heads: Sequence[int], report: Callable[[float], None]
) -> Mapping[str, np.ndarray]:
    """The items without each head and with each alone."""
    kept = all_heads(model)[layer]
    reading = model.read(measure.texts)
    windows = len(reading.owner)
    each = masks(len(kept), [kept.index(head) for head in heads])
    swept = sweep_of(model).vectors(
        model.placed, reading, model.packer(), layer, each, lambda done: report(done / windows)
    )
    items = np.stack([measure.items(vectors) for vectors in without_blank(swept, measure)])
    return {"without": items[: len(heads)], "alone": items[len(heads) :]}


def _judged(model: Contextual, measure: Measure, done: Swept, resamples: int, seed: int) -> Ablation:
    """Scores, intervals and significance."""
    base, by_layer, found = done
    m, kept = len(base["items"]), all_heads(model)
    weights = bootstrap.draws(m, resamples, seed)
    score, drawn = measure.score(base["items"]), measure.resampled(base["items"], weights)
    rows = []
    for layer, heads in by_layer.items():
        for n, head in enumerate(heads):
            without, alone = found[layer]["without"][n], found[layer]["alone"][n]
            one = measure.score(without)
            change = bootstrap.difference(one - score, drawn, measure.resampled(without, weights))
            rows.append((layer, head, one, measure.score(alone), change, kept[layer].index(head)))
    sure = bootstrap.significant(np.array([row[4].p for row in rows]))
    heads = tuple(Head(*row[:5], bool(is_sure), float(base["importance"][row[0], row[5]]))
                  for row, is_sure in zip(rows, sure, strict=True))
    return Ablation(measure.name, measure.metric, score, m, tuple(sorted(heads, key=lambda h: (h.layer, h.head))))
