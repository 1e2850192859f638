"""What came out, in files that only a run writes, and the tables that are made of them.

A record is RECORDS/ROW.json: the row's key and, for our runs by seed and for the reference, the scores with the commit,
versions, hardware and seconds behind them. experiments/RESULTS.md is nothing but all records as tables.
"""
import csv
import dataclasses
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from embeddings.evaluation.table import Table
from embeddings.files import write_whole
from embeddings.problems import Problem
from embeddings.reproduction.rows import Row

COLUMNS = ("row", "score", "published", "reference", "ours", "difference", "seeds", "hardware", "time", "commit")
HEAD = """# Results

Written by `python -m embeddings.reproduce`, from the records beside the flag files; no number here was typed. Each row
is a flag file; all values times 100, but for perplexities and bits a byte. A question mark stands behind published
values that were recalled and not read again. The reference is another implementation on the same data with the same
settings; the difference is ours less the published value, or less the reference where none was published; of several
seeds both columns have the mean and the standard deviation. What was measured beside (speed, memory, compilers) stands
in MEASURED.md, what did not work in LOG.md.
"""


@dataclasses.dataclass(frozen=True)
class Made:
    """One run, or the reference."""

    scores: dict[str, float]
    seconds: float
    """Wall seconds of all of it, evaluation included."""
    commit: str | None
    hardware: str
    versions: dict[str, str | None]


@dataclasses.dataclass
class Record:
    """What is known of a row."""

    key: str
    ours: dict[int, Made] = dataclasses.field(default_factory=dict)
    """By seed."""
    reference: dict[int, Made] = dataclasses.field(default_factory=dict)
    """By seed, as far as anything is drawn; else below the first of the row's."""


def read(row: Row) -> Record:
    """The record of a row as it is today: empty where there is none, or one of other flags.

    Raises Problem for a damaged one.
    """
    try:
        said = json.loads(row.record.read_bytes())
        if said["key"] != row.key:
            return Record(row.key)
        ours, reference = ({int(seed): Made(**made) for seed, made in said[whose].items()}
                           for whose in ("ours", "reference"))
        return Record(row.key, ours, reference)
    except FileNotFoundError:
        return Record(row.key)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(f"{row.record}: no record ({error!r}): delete it, it is made again") from None


def write(row: Row, record: Record) -> None:
    """Puts a record in its place."""
    row.record.parent.mkdir(exist_ok=True)
    write_whole(row.record, json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True) + "\n")


def lines(row: Row, record: Record) -> list[tuple[str, ...]]:
    """The lines of a row's table, one a score; of a row that was not run, one for all."""
    given = row.settings.row
    made = [record.ours[seed] for seed in given.seeds if seed in record.ours]
    if not made and not record.reference:
        published = " / ".join(map(_shown, given.published)) or "-"
        scores = f"{len(given.scores)} of {given.scores[0].partition('/')[0]}" if len(given.scores) > 1 else (
            given.scores[0])
        return [(row.name, scores, published + "?" * (given.sure == "recalled"), "-", "not run", *"-----")]
    found = []
    for name, published in zip(given.scores, given.published or [math.nan] * len(given.scores), strict=True):
        ours = [scale(name) * one.scores[name] for one in made]
        theirs = [scale(name) * one.scores[name] for one in record.reference.values()]
        mean, reference = (statistics.mean(some) if some else math.nan for some in (ours, theirs))
        against = reference if math.isnan(published) else published
        found.append((
            row.name, name, _shown(published) + ("?" if given.sure == "recalled" else ""), _of_seeds(theirs),
            _of_seeds(ours) if ours else "not run", _shown(mean - against, "+"),
            ", ".join(map(str, (seed for seed in given.seeds if seed in record.ours))) or "-",
            ", ".join(dict.fromkeys(one.hardware for one in made)) or "-", _time([one.seconds for one in made]),
            ", ".join(dict.fromkeys((one.commit or "?")[:7] for one in made)) or "-",
        ))
    return found


def scale(score: str) -> int:
    """What a score is multiplied by where it is shown: 100, as papers do, if it is a share or a correlation."""
    return 1 if "perplexity by" in score or "bits a byte" in score else 100


def tables(rows: Iterable[Row]) -> list[Table]:
    """A table a paper's table, in the order of the rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.settings.row.table, []).append(row)
    return [Table(name, COLUMNS, tuple(line for row in some for line in lines(row, read(row))), _notes(some))
            for name, some in found.items()]


def markdown(rows: Sequence[Row]) -> str:
    """All tables as a page."""
    return HEAD + "".join(f"\n{table.markdown()}" for table in tables(rows))


def comma_separated(rows: Sequence[Row]) -> str:
    """All lines as .csv, the paper's table in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", *COLUMNS))
    for table in tables(rows):
        writer.writerows((table.title, *line) for line in table.rows)
    return out.getvalue()


def _notes(rows: list[Row]) -> tuple[str, ...]:
    sources = dict.fromkeys(row.settings.row.source for row in rows if row.settings.row.source)
    used = dict.fromkeys(row.settings.row.reference for row in rows if row.settings.row.reference)
    said = [f"Published: {'; '.join(sources)}."] if sources else []
    return (*said, *([f"Reference: {', '.join(used)}."] if used else []))


def _shown(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.2f}"


def _of_seeds(values: list[float]) -> str:
    """Their mean and how far they spread."""
    if not values:
        return "-"
    return _shown(statistics.mean(values)) + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


def _time(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    mean: Any = statistics.mean(seconds)
    return f"{mean:.0f} s" if mean < 300 else f"{mean / 60:.0f} min" if mean < 7200 else f"{mean / 3600:.1f} h"
