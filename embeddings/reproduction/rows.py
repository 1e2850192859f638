"""Rows of tables: flag files that say what they are held against.

A row is done again only where something that decides its numbers has changed: its key is a digest of those flags.
"""
import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

from embeddings import experiment, flags
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem
from embeddings.training import run_folder


@dataclasses.dataclass(frozen=True)
class Row:
    """A flag file."""

    file: Path
    settings: Experiment

    @property
    def name(self) -> str:
        """What it is called."""
        return self.settings.row.name

    def seeded(self, seed: int) -> Experiment:
        """The experiment of one seed."""
        return dataclasses.replace(self.settings, seed=seed)

    @property
    def reference_seeds(self) -> tuple[int, ...]:
        """The seeds of the reference's runs: one where it only measures a model, none where there is no reference."""
        row = self.settings.row
        return () if not row.reference else row.seeds[:1] if row.model else row.seeds

    @property
    def key(self) -> str:
        """Digest of what decides the numbers of any seed: flags, tasks, scores, the model."""
        row, evaluate, ablate = self.settings.row, self.settings.evaluate, self.settings.ablate
        # Texts, heads and poolings are said only where there are some: rows from before such flags keep their key.
        said = (experiment.fingerprint(self.seeded(0)), row.model, row.scores, row.reference, sorted(evaluate.tasks),
                evaluate.vocabulary, *([evaluate.text, evaluate.stride] if evaluate.text else []),
                *([ablate.task, ablate.text] if ablate.task else []), *row.pooling)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    @property
    def record(self) -> Path:
        """Where its numbers are kept."""
        return self.file.parent / "records" / f"{self.file.stem}.json"


def find(paths: Iterable[Path]) -> list[Row]:
    """The rows among flag files, and those below folders, by path.

    Raises UsageProblem for a path that is not there, a file that is no row, and two rows of one table with one name.
    """
    found: list[Row] = []
    for path in paths:
        if not path.exists():
            raise UsageProblem(f"{path}: no such folder or flag file of rows: correct the path")
        there = (file for file in path.rglob("*.flags") if file.name != run_folder.FLAGS)  # which is of a run of a row
        for file in sorted(there) if path.is_dir() else [path]:
            settings = flags.load(file, Experiment)
            if settings.row.name:
                found.append(Row(file, settings))
            elif path == file:
                raise UsageProblem(f"{file}: is no row of a table: it has no --row.name")
    if not found:
        raise UsageProblem(f"{', '.join(map(str, paths))}: no row of a table there, that is, no flag file with "
                           "--row.name")
    names: dict[tuple[str, str], Path] = {}
    for row in found:
        other = names.setdefault((row.settings.row.table, row.name), row.file)
        if other != row.file:
            raise Problem(f"{row.file}: a second row {row.name!r} of {row.settings.row.table!r}, after {other}: name "
                          "one of them otherwise")
    return found
