"""Draws what words.py measured: mean score against seconds, ours and theirs, a panel a model.

    python experiments/speed/plot_words.py words.jsonl words.svg
"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, OURS, THEIRS = "#57606a", "#0969da", "#cf6a17"
"""Colours that can be told from both a light and a dark page."""


def main() -> None:
    """Reads the lines, writes the picture."""
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "words", "font.size": 9, **ink})
    figure, panels = pyplot.subplots(1, len(lines), figsize=(2.9 * len(lines), 2.9), squeeze=False, sharey=True)
    for panel, line in zip(panels[0], lines, strict=True):
        draw(panel, line)
    panels[0][0].set_ylabel("mean of four scores")
    figure.supxlabel("seconds from tokenised text (each point: a run of so many epochs)", fontsize=9, color=INK)
    figure.tight_layout()
    figure.savefig(sys.argv[2], transparent=True, metadata={"Date": None})


def draw(panel: pyplot.Axes, line: dict) -> None:
    """One model: the points of both programs, joined."""
    peer = line["peer"].partition(" at ")[0]
    for name, colour, below in (("ours", OURS, False), ("theirs", THEIRS, True)):
        seconds, means = [one["seconds"] for one in line[name]], [one["mean"] for one in line[name]]
        panel.plot(seconds, means, "o-", color=colour, markersize=4, label="embeddings" if name == "ours" else peer)
        for one in line[name]:
            panel.annotate(f"{one['epochs']:g}", (one["seconds"], one["mean"]), textcoords="offset points",
                           xytext=(3, -10) if below else (-4, 5), fontsize=7, color=colour)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(line["what"].partition(",")[0], fontsize=10)
    panel.legend(frameon=False, fontsize=8, loc="lower right")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
