"""Reproduces rows of papers' tables: trains or loads what each row needs, and puts what comes out beside the paper.

    python -m embeddings.reproduce experiments/sts --models=MODELS
    python -m embeddings.reproduce experiments/word2vec/brown_skipgram.flags
    python -m embeddings.reproduce experiments --dry_run
    python -m embeddings.reproduce experiments --check

A row is a flag file with --row.name; a folder stands for all rows below it. Prints published, reference, ours, their
difference, seeds, hardware, time and commit, and writes them as records beside the flag files, as ROWS/table.md and
table.csv where a folder was named, and all of them as RESULTS.md of the folder `experiments`. What was done with the
same flags is not done again. --check does nothing new: it makes committed numbers once more, from a run's folder where
that is still there, by a cheap run where --again allows one, and says which do not agree.
"""
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from embeddings import command
from embeddings.fields import Amount
from embeddings.problems import Problem, UsageProblem

WHOLE = "experiments"
"""The folder whose RESULTS.md holds all tables."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is done."""

    runs: str = "runs/reproduce"
    """Folder for the runs."""
    models: str = ""
    """Folder in which --row.model and --start_from are looked for by name, before the hub is asked."""
    dry_run: bool = False
    """Whether the work is listed with its hours, and nothing done."""
    check: bool = False
    """Whether records are only held against their flag files, runs and tables."""
    reference: bool = True
    """Whether reference implementations are run."""
    again: Amount = 0.0
    """Rows that take no more hours than this a seed are made once more (--check), in a folder that is then removed."""
    tolerance: Amount = 0.005
    """How far a number made again may be off (--check), as it is shown; other processors take sums in another order."""


def main(flags: Flags, words: list[str]) -> None:
    """Goes through the rows in order."""
    if not words:
        raise UsageProblem("name a flag file of a row, or a folder of them, as experiments/sts")
    from embeddings.reproduction import records, rows

    paths = [Path(word) for word in words]
    found = rows.find(paths)
    if flags.dry_run:
        listed(found)
        return
    if flags.check:
        checked(flags, found)
        return
    failed = [row for row in found if not done(flags, row)]
    for table in records.tables(found):
        print(table.text())
    written(paths)
    if failed:
        raise Problem(f"{len(failed)} of {len(found)} rows were not run: {', '.join(row.name for row in failed)}: see "
                      "above what is missing")


def listed(found: list[Any]) -> None:
    """Prints what is left to do."""
    from embeddings.reproduction import records

    hours, unknown = 0.0, 0
    for row in found:
        given, record = row.settings.row, records.read(row)
        left = [seed for seed in given.seeds if seed not in record.ours]
        reference = [seed for seed in row.reference_seeds if seed not in record.reference]
        hours += given.hours * len(left)
        unknown += bool(left) and not given.hours
        state = " and ".join(f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}{whose}" for seeds, whose in (
            (left, ""), (reference, f" of {given.reference}")) if seeds) or "done"
        print(f"{row.file}: {row.name}: {state}" + (f" ({given.hours:g} hours a seed)" if left and given.hours else "")
              + (f"; fetch: {given.fetch}" if left and given.fetch else ""))
    print(f"{hours:.2f} hours" + (f", and {unknown} rows for which nobody knows" if unknown else ""))


def done(flags: Flags, row: Any) -> bool:
    """Does what is left of a row; whether all of it is done then. What is missing is said."""
    from embeddings.reproduction import records

    record = records.read(row)
    try:
        for seed in row.settings.row.seeds:
            if seed not in record.ours:
                print(f"{row.file}: seed {seed}", file=sys.stderr, flush=True)
                record.ours[seed] = ours(flags, row, seed)
                records.write(row, record)
        for seed in row.reference_seeds if flags.reference else ():
            if seed not in record.reference:
                print(f"{row.file}: {row.settings.row.reference}, seed {seed}", file=sys.stderr, flush=True)
                record.reference[seed] = reference(flags, row, seed)
                records.write(row, record)
    except Problem as problem:
        fetch = row.settings.row.fetch
        print(f"{row.file}: not run: {problem}" + (f"; fetch {fetch}" if fetch else ""), file=sys.stderr)
        return False
    return True


def ours(flags: Flags, row: Any, seed: int) -> Any:
    """A run of ours, trained by the command of training, or what a model scores."""
    begun = time.monotonic()
    if row.settings.row.model:
        from embeddings import encoder

        model = pooled(encoder.load(_weights(flags, row.settings.row.model)), row)
        found = {**measured(row, model), **dissected(row, model)}
    else:
        run = folder_of(flags, row, seed)
        done = subprocess.run(
            [sys.executable, "-m", "embeddings.train", f"--flagfile={row.file}", f"--seed={seed}", f"--run={run}",
             f"--start_from={_weights(flags, row.settings.start_from)}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Problem((done.stderr.strip().splitlines() or ["training failed"])[-1])
        found = from_run(run)
    return _made(row, found, time.monotonic() - begun)


def pooled(model: Any, row: Any) -> Any:
    """The model as it is, or as --row.pooling has it. Raises Problem where it has no states of tokens."""
    if not (modes := row.settings.row.pooling):
        return model
    from embeddings.contextual.in_use import InUse

    if not isinstance(model, InUse):
        raise Problem(f"{row.file}: --row.pooling={','.join(modes)}: --row.model has no states to pool: leave it out")
    return dataclasses.replace(model, pipeline=dataclasses.replace(model.pipeline, pooling=modes, steps=()))


def reference(flags: Flags, row: Any, seed: int) -> Any:
    """The reference's numbers of a seed."""
    from embeddings.reproduction import references

    begun = time.monotonic()
    weights = _weights(flags, row.settings.row.model or row.settings.start_from)
    model = references.model(row.seeded(seed), weights, _data(), command.cache(), os.cpu_count() or 1)
    return _made(row, measured(row, model), time.monotonic() - begun)


def measured(row: Any, model: Any) -> dict[str, float]:
    """What a model scores in the row's tasks, as metrics.jsonl names it."""
    from embeddings.evaluation import tasks
    from embeddings.evaluation.tasks import task as kinds

    options = kinds.of(row.settings.evaluate, command.cache())
    return {f"{task.name}/{name}": value for task in tasks.tasks(row.settings.evaluate.tasks, _data(), options)
            for name, value in task.scores(model).items()}


def dissected(row: Any, model: Any) -> dict[str, float]:
    """What a model's heads are worth to the row's --ablate.task, or find, as metrics.jsonl names it."""
    part = row.settings.ablate
    if not part.task:
        return {}
    from embeddings.heads import inside

    found = inside.ablation_of(part.task, part.text, _data(), part.resamples)
    return {f"{found.name}/{name}": value for name, value in found.scores(model).items()}


def from_run(run: Path) -> dict[str, float]:
    """The last value of everything in a run's metrics.jsonl. Raises Problem where there is none."""
    from embeddings.training import metrics, run_folder

    return {name: value for name, (value, _) in metrics.last(run / run_folder.METRICS).items()}


def checked(flags: Flags, found: list[Any]) -> None:
    """Holds records against runs, and pages against records, as far as they are there.

    Raises Problem for what does not agree.
    """
    from embeddings.reproduction import records

    wrong: list[str] = []
    remade = 0
    for row in found:
        record = records.read(row)
        if row.record.exists() and not record.ours:
            wrong.append(f"{row.record} was made with other flags")
        for seed, made in record.ours.items():
            where, again = made_again(flags, row, seed)
            off = {name: value for name, value in made.scores.items() if where and (
                name not in again or records.scale(name) * abs(again[name] - value) > flags.tolerance)}
            wrong += [f"{row.record}: {name} of seed {seed} is {value} there and {again.get(name)} in {where}"
                      for name, value in off.items()]
            remade += bool(where)
    for page, text in pages({row.file.parent for row in found}).items():
        if page.is_file() and page.read_text() != text:
            wrong.append(f"{page} is not what the records say: python -m embeddings.reproduce writes it")
    if wrong:
        raise Problem("; ".join(wrong))
    print(f"{len(found)} rows agree with their records and tables; the numbers of {remade} runs were made again")


def made_again(flags: Flags, row: Any, seed: int) -> tuple[str, dict[str, float]]:
    """Where the numbers of a seed were made again, and they; empty where that would take too long."""
    run = folder_of(flags, row, seed)
    if run.exists():
        return str(run), from_run(run)
    if not 0 < row.settings.row.hours <= flags.again:
        return "", {}
    with tempfile.TemporaryDirectory() as folder:
        return "another run", ours(dataclasses.replace(flags, runs=folder), row, seed).scores


def folder_of(flags: Flags, row: Any, seed: int) -> Path:
    """The run of a row's seed."""
    return Path(flags.runs) / f"{row.file.stem}-{row.key}-{seed}"


def written(paths: list[Path]) -> None:
    """Writes tables in the folders that were named, or whose rows were, and RESULTS.md."""
    from embeddings.files import write_whole

    files = {path.parent for path in paths if path.is_file() and WHOLE in (parent.name for parent in path.parents)}
    folders = {path for path in paths if path.is_dir()} | files
    for page, text in pages(folders).items():
        write_whole(page, text)


def pages(folders: set[Path]) -> dict[Path, str]:
    """What each folder's table.md and table.csv hold, and RESULTS.md of the folder of all experiments."""
    from embeddings.reproduction import records, rows

    found: dict[Path, str] = {}
    for folder in sorted(folders):
        whole = next((path for path in (folder, *folder.parents) if path.name == WHOLE), None)
        if whole:
            found[whole / "RESULTS.md"] = records.markdown(rows.find([whole]))
        if folder != whole:
            some = rows.find([folder])
            found[folder / "table.md"] = "\n".join(table.markdown() for table in records.tables(some))
            found[folder / "table.csv"] = records.comma_separated(some)
    return found


def _made(row: Any, scores: dict[str, float], seconds: float) -> Any:
    import platform

    import jax

    from embeddings import provenance
    from embeddings.reproduction.records import Made

    missing = [name for name in row.settings.row.scores if name not in scores]
    if missing:
        near = ", ".join(name for name in scores if name.partition("/")[0] == missing[0].partition("/")[0])
        raise Problem(f"{row.file}: --row.scores: nothing is measured as {missing[0]}, only {near or 'nothing'}: see "
                      "--evaluate.tasks and --ablate.task")
    device = jax.devices()[0]
    hardware = f"{os.cpu_count()} cores ({platform.machine()})" if device.platform == "cpu" else (
        f"{jax.device_count()} x {device.device_kind}")
    versions = {name: provenance.version(name) for name in ("jax", "numpy", "gensim", "sentence-transformers")}
    return Made({name: scores[name] for name in row.settings.row.scores}, round(seconds, 1),
                provenance.commit(Path(__file__).parent), hardware, versions)


def _weights(flags: Flags, name: str) -> str:
    """Where a model is."""
    there = Path(flags.models) / name
    return str(there) if name and flags.models and there.exists() else name


def _data() -> Path | None:
    folder = os.environ.get("EMBEDDINGS_DATA")
    return Path(folder) if folder else None


if __name__ == "__main__":
    command.run(main, Flags, positional="PATH...")
