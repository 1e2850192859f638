"""Ablations as files that people and programs read: csv, a table, a heat map as a picture and as a page; curves."""
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from embeddings.evaluation.table import Table, shown
from embeddings.heads.ablation import Ablation
from embeddings.heads.pruning import Point
from embeddings.problems import Problem

COLUMNS = ("layer", "head", "without", "change", "low", "high", "p", "significant", "alone", "importance")


def rows(ablation: Ablation) -> list[tuple]:
    """A row a head, as COLUMNS."""
    return [(h.layer, h.head, h.without, h.change.value, h.change.low, h.change.high, h.change.p, int(h.significant),
             h.alone, h.importance) for h in ablation.heads]


def table(ablation: Ablation, most: int = 0) -> Table:
    """Heads by what the score loses without them, most first; `most` of them, 0 takes all."""
    ordered = sorted(ablation.heads, key=lambda h: h.change.value)
    cells = tuple((h.layer, h.head, f"{h.without:.4f}", f"{h.change.value:+.4f}",
                   f"{h.change.low:+.4f} .. {h.change.high:+.4f}", f"{h.change.p:.1e}", "yes" if h.significant else "",
                   f"{h.alone:.4f}", h.importance) for h in ordered[: most or None])
    title = f"{ablation.task}: {ablation.metric} {ablation.score:.4f} with all heads, {ablation.items:,} items"
    note = ("Layers and heads from 0. Without the head; the change and its 95 % bootstrap interval; significant at a "
            "false discovery rate of 5 %; the head alone in its layer; gradient importance, by layer of norm 1.")
    columns = ("layer", "head", "without", "change", "95 %", "p", "significant", "alone", "importance")
    return Table(title, columns, cells, (note,))


def grid(ablation: Ablation, name: str) -> Float[np.ndarray, "L H"]:
    """A column of COLUMNS by layer and head; NaN where there is no such head."""
    at = COLUMNS.index(name)
    out = np.full((1 + max(h.layer for h in ablation.heads), 1 + max(h.head for h in ablation.heads)), np.nan)
    for row in rows(ablation):
        out[row[0], row[1]] = row[at]
    return out


def picture(ablation: Ablation) -> bytes:
    """The heat map as png. Raises Problem where the extra [plots] is not installed."""
    change, alone, weight = (grid(ablation, name) for name in ("change", "alone", "importance"))
    sure = grid(ablation, "significant")
    L, H = change.shape
    figure = _figure(3 * (1.2 + 0.32 * H), 1.4 + 0.32 * L)
    limit = np.nanmax(np.abs(change)) or 1.0
    drawn = ((change, "score without the head, less all", "RdBu", -limit, limit),
             (alone - ablation.score, "the head alone in its layer, less all", "RdBu", None, None),
             (weight, "gradient importance", "Greys", 0, None))
    for axes, (values, title, colours, low, high) in zip(figure.subplots(1, 3), drawn, strict=True):
        if colours == "RdBu" and low is None:
            high = np.nanmax(np.abs(values)) or 1.0
            low = -high
        image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="equal")
        axes.set(title=title, xlabel="head", ylabel="layer", xticks=range(H), yticks=range(L))
        axes.tick_params(labelsize=7)
        axes.title.set_fontsize(9)
        figure.colorbar(image, ax=axes, shrink=0.8)
        if values is change:
            for layer, head in zip(*np.nonzero(sure == 1), strict=True):
                axes.text(head, layer, "*", ha="center", va="center", fontsize=9)
    figure.suptitle(f"{ablation.task}: {ablation.metric} {ablation.score:.4f}; * significant", fontsize=10)
    return _png(figure)


def curves(title: str, found: Mapping[str, Sequence[Point]]) -> bytes:
    """Curves of pruning as png, each by the name of its order; raises as `picture`."""
    figure = _figure(6.0, 3.4)
    axes = figure.subplots()
    for name, points in found.items():
        axes.plot([point.pruned for point in points], [point.score for point in points], marker=".", label=name)
    axes.axhline(next(iter(found.values()))[0].score, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(title=title, xlabel="heads pruned, by order", ylabel="score")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    """Of matplotlib, in inches. Raises Problem where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Problem("a picture needs matplotlib: pip install 'embeddings[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


_STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2rem;max-width:70rem}
table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.25rem .5rem;text-align:right;font-variant-numeric:tabular-nums}
.map td{min-width:3.2rem;border:1px solid #fff}caption{text-align:left;font-weight:600;padding:.25rem 0}"""


def page(ablation: Ablation, model: str) -> str:
    """The heat maps and all numbers as one page of HTML that needs nothing else."""
    title = html.escape(f"{model}: {ablation.task}, {ablation.metric} {ablation.score:.4f} with all heads")
    maps = (_map(ablation, "change", "Score without the head, less that of all heads; * significant", True),
            _map(ablation, "alone", "Score with the head alone in its layer", False),
            _map(ablation, "importance", "Gradient importance, each layer of norm 1", False))
    return document(title, "\n".join([f"<h1>{title}</h1>", *maps, of_table(table(ablation))]))


def document(title: str, body: str, style: str = "") -> str:
    """A whole page."""
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}{style}</style></head><body>\n{body}\n</body></html>\n")


def of_table(table: Table) -> str:
    """A table as HTML."""
    lines = [f"<table><caption>{html.escape(table.title)}</caption>", _row(table.columns, "th")]
    lines += [_row([shown(cell) for cell in row], "td") for row in table.rows]
    return "\n".join([*lines, "</table>", *(f"<p>{html.escape(note)}</p>" for note in table.notes)])


def _row(cells: Sequence[str], kind: str) -> str:
    return "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"


def colour(value: float, low: float, high: float, signed: bool) -> str:
    """Red for what is below 0 and blue above, or white to grey; of a number between low and high."""
    if value != value:
        return "#fff"
    share = abs(value) / (max(abs(low), abs(high)) or 1) if signed else (value - low) / ((high - low) or 1)
    faded = round(255 - 155 * share)
    if not signed:
        return f"rgb({faded},{faded},{faded})"
    return f"rgb(255,{faded},{faded})" if value < 0 else f"rgb({faded},{faded},255)"


def _map(ablation: Ablation, name: str, title: str, signed: bool) -> str:
    values, sure = grid(ablation, name), grid(ablation, "significant")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    lines = [f'<table class="map"><caption>{title}</caption>',
             "<tr><th></th>" + "".join(f"<th>head {h}</th>" for h in range(values.shape[1])) + "</tr>"]
    for layer, row in enumerate(values):
        cells = []
        for head, value in enumerate(row):
            star = "*" if signed and sure[layer, head] == 1 else ""
            text = "" if value != value else f"{value:+.4f}{star}" if signed else f"{value:.3f}"
            cells.append(f'<td style="background:{colour(value, low, high, signed)}" '
                         f'title="layer {layer} head {head}">{text}</td>')
        lines.append(f"<tr><th>layer {layer}</th>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])
