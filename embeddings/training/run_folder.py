"""A run's folder: everything needed to read, evaluate or resume it, and nothing from elsewhere.

    experiment.flags    the resolved flags, each one; `--flagfile` takes the file as it is
    vocabulary.tsv      the words and their counts; of contextual models model.json and tokenizer/ instead
    provenance.json     versions, commit, devices and the corpus's digest
    checkpoints/STEP    parameters and optimizer
    best/STEP           the parameters of the highest score, where --train.best names one
    metrics.jsonl       the same bytes for the same run, killed and resumed or not
    speed.jsonl         what depends on the machine: seconds, words a second
"""
import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embeddings import experiment, flags
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.files import write_whole
from embeddings.problems import Problem
from embeddings.training import architectures, checkpoint
from embeddings.training.job import Tables

FLAGS, VOCABULARY, PROVENANCE, METRICS, SPEED = (
    "experiment.flags",
    "vocabulary.tsv",
    "provenance.json",
    "metrics.jsonl",
    "speed.jsonl",
)
CHECKPOINTS, BEST, LOCK = "checkpoints", "best", ".lock"


def read_experiment(folder: Path) -> experiment.Experiment:
    """The experiment that a run's folder was written by. Raises Problem when the folder is none of ours."""
    if not (folder / FLAGS).is_file():
        raise Problem(f"{folder}: no {FLAGS} here, so this is no run's folder")
    return flags.load(folder / FLAGS, experiment.Experiment)


def read_params(folder: Path) -> tuple[int, Any]:
    """Step and parameters that a run leaves: the best ones where it keeps them, else the newest whole checkpoint's.

    Raises Problem where there is none yet.
    """
    best = folder / BEST
    return checkpoint.read_params(best if checkpoint.newest(best) is not None else folder / CHECKPOINTS)


def check(settings: experiment.Experiment) -> None:
    """Looks, without writing, whether a run with these settings can be made or gone on with in its folder.

    Raises Problem when the folder holds a run with other settings or files that are none of a run's, or when it can't
    be written.
    """
    path = Path(settings.run)
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise Problem(f"{there}: is a file, not a folder: name another with --run")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Problem(f"{there}: may not be written to: have it made writable, or name another folder with --run")
    if (path / FLAGS).is_file():
        changed = experiment.differences(read_experiment(path), settings)
        if changed:
            raise Problem(
                f"{path}: holds a run with other settings ({', '.join(changed)}): "
                "set them as there, or name another folder with --run"
            )
    elif path.is_dir() and any(p.name != LOCK for p in path.iterdir()):
        raise Problem(f"{path}: is neither empty nor a run's folder: name another with --run")


def read_tables(folder: Path) -> tuple[experiment.Experiment, Vocabulary, Tables]:
    """What a run trained and on which words, from its newest whole checkpoint, and its flags.

    Raises Problem when the folder is no run's, has no checkpoint yet, or has files that do not go together.
    """
    settings = read_experiment(folder)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    step, params = read_params(folder)
    tables = jax.tree.map(np.asarray, architectures.of(settings).tables(settings, vocabulary.words, params))
    if len(tables.words) != len(vocabulary.words):
        raise Problem(
            f"{folder / VOCABULARY}: {len(vocabulary.words)} words where checkpoint {step} has {len(tables.words)} "
            "vectors: copy the file again, or run the training command once more, which writes it"
        )
    return settings, vocabulary, tables


class RunFolder:
    """A run's folder, open for writing, and locked against a second writer.

    As a context it lets others write at the end, and removes what it made when nothing `began`.
    """

    def __init__(self, settings: experiment.Experiment) -> None:
        """Makes or finds the folder. Raises Problem as `check` does, and when another process is writing the run."""
        check(settings)
        self.path = Path(settings.run)
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("w")
        except OSError:
            self._unmake()
            raise
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"{self.path}: another process is writing this run: wait for it or stop it") from None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._unmake()
        self._lock.close()

    def began(self) -> None:
        """Says that the first step is next: from now on what is here is worth keeping."""
        self._made = []

    def write(
        self, settings: experiment.Experiment, save: Callable[[Path], None], facts: dict[str, Any]
    ) -> None:
        """Writes what the run is: its flags, what `save` writes, and what it was made from, each time that it went on.

        Raises Problem where the text is not the one that the run began with.
        """
        try:
            began = json.loads((self.path / PROVENANCE).read_text())
        except (OSError, ValueError):
            began = None
        if began and began["corpus"] != facts["corpus"]:
            raise Problem(
                f"{self.path}: the text of --corpus={settings.corpus} has changed since this run began: put it back, "
                "or name another folder with --run"
            )
        if began:
            facts = began | {"resumed": [*began.get("resumed", []), facts]}
        write_whole(self.path / FLAGS, flags.resolved(settings))
        save(self.path)
        write_whole(self.path / PROVENANCE, json.dumps(facts, indent=1, sort_keys=True) + "\n")

    def _unmake(self) -> None:
        """Removes the folders that this run made."""
        if self._made:
            shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else has put something there
            for folder in self._made[1:]:
                folder.rmdir()
