"""The attention of a sentence, drawn in a terminal and as a page of HTML that needs nothing else.

Shapes: N tokens, L layers, H heads.
"""
import html
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from embeddings.heads.drawing import document

SHADES = " .:-=+*#%@"
"""From no weight to all of it, by tenths."""
FAINTEST = 0.02
"""Weights below are not drawn on the page."""
CELL = 9
"""Points of a token on it."""

_STYLE = """.heads{display:flex;flex-wrap:wrap;gap:10px}figure{margin:0}figcaption{font-size:12px}
svg{border:1px solid #ccc}ol{columns:4;font-size:13px}"""


def lines(tokens: Sequence[str], weights: Float[np.ndarray, "N N"], title: str) -> str:
    """A head's weights, a row a token that looks, a column a token that is looked at (numbered below)."""
    width = max(map(len, tokens))
    shade = np.minimum((weights * len(SHADES)).astype(int), len(SHADES) - 1)
    rows = [f"{n:>3} {token:>{width}} |" + "".join(2 * SHADES[s] for s in row) + "| "
            + f"{tokens[int(np.argmax(looks))]} {looks.max():.2f}"
            for n, (token, row, looks) in enumerate(zip(tokens, shade, weights, strict=True))]
    feet = " " * (width + 5) + "".join(f"{n % 100:>2}" for n in range(len(tokens)))
    return "\n".join([title, *rows, feet]) + "\n"


def page(
    tokens: Sequence[str], weights: Sequence[Float[np.ndarray, "H N N"]], heads: Sequence[Sequence[int]], title: str
) -> str:
    """All heads, a square each: the darker, the more the token of the row looks at that of the column."""
    numbered = "".join(f"<li>{html.escape(token)}</li>" for token in tokens)
    parts = [f"<h1>{html.escape(title)}</h1>", f'<ol start="0">{numbered}</ol>',
             "<p>Rows look, columns are looked at, both in the order of the tokens. Point at a cell for its words.</p>"]
    for layer, (some, names) in enumerate(zip(weights, heads, strict=True)):
        figures = "".join(_figure(tokens, matrix, f"layer {layer}, head {head}")
                          for head, matrix in zip(names, some, strict=True))
        parts.append(f'<h2>Layer {layer}</h2><div class="heads">{figures}</div>')
    return document(html.escape(title), "\n".join(parts), _STYLE)


def _figure(tokens: Sequence[str], weights: Float[np.ndarray, "N N"], name: str) -> str:
    size = CELL * len(tokens)
    cells = "".join(
        f'<rect x="{CELL * s}" y="{CELL * t}" width="{CELL}" height="{CELL}" fill-opacity="{weights[t, s]:.2f}">'
        f"<title>{html.escape(tokens[t])} &#8594; {html.escape(tokens[s])} {weights[t, s]:.2f}</title></rect>"
        for t, s in zip(*np.nonzero(weights >= FAINTEST), strict=True))
    return (f'<figure><figcaption>{name}</figcaption><svg width="{size}" height="{size}" fill="#036">{cells}</svg>'
            "</figure>")
