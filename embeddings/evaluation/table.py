"""Results as tables that people read: aligned text for a terminal, Markdown for a page."""
import dataclasses


class Percent(float):
    """A share of 1 that is shown as a percentage."""


Cell = str | int | float | None
"""What stands in a cell; None is shown as a dash."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells under named columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences below the table: how the numbers are defined."""

    def text(self) -> str:
        """Columns aligned by blanks: words to the left, numbers to the right."""
        cells = [self.columns, *(tuple(shown(cell) for cell in row) for row in self.rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        left = self._words()
        lines = ["  ".join(_aligned(cell, width, is_left) for cell, width, is_left
                           in zip(row, widths, left, strict=True)).rstrip() for row in cells]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, lines[0], rule, *lines[1:], *self.notes]) + "\n"

    def markdown(self) -> str:
        """A pipe table under a bold title."""
        rule = ["---" if is_left else "---:" for is_left in self._words()]
        cells = [self.columns, rule, *([shown(cell) for cell in row] for row in self.rows)]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        notes = ["", *self.notes] if self.notes else []
        return "\n".join([f"**{self.title}**", "", *lines, *notes]) + "\n"

    def _words(self) -> list[bool]:
        """Which columns hold words."""
        return [any(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]


KEYS = ("set", "section", "method", "score", "correct", "covered", "total")
"""Keys of a record, the same for every kind of result: a test set, a section of it or what was measured on it, how
answers were found or texts encoded, the score (share correct, Spearman's rho, or the measure), questions answered
rightly, questions, pairs or texts that are all known, and all there are."""


def shown(cell: Cell) -> str:
    """A cell as text: three digits after the point, one of percentages, thousands parted."""
    if cell is None or cell != cell:
        return "-"
    if isinstance(cell, Percent):
        return f"{100 * cell:.1f}"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return cell if isinstance(cell, str) else f"{cell:,}"


def _aligned(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)
