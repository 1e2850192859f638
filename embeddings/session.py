"""A run from beginning to end: text, devices, loop, scores.

What can be refused is refused before the run's folder is made, and the rest before the first step.
"""
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embeddings import encoder, provenance
from embeddings.corpus import documents, shards
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.encoder import WordVectors
from embeddings.evaluation import tasks as evaluations
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen, duration
from embeddings.training import architectures, loop, mesh, metrics, processes, run_folder
from embeddings.training import job as jobs
from embeddings.training.checkpoint import Checkpoints

RECORDED = ("embeddings", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint", "pyarrow")

@dataclasses.dataclass(frozen=True)
class Place:
    """What a run is told of the machine it is on."""

    data: Path | None
    """Folder of data sets, looked in before anything is downloaded."""
    cache: Path
    """Folder for what is downloaded or prepared once."""
    clock: Callable[[], float]
    """Seconds, rising."""
    step_cores: Sequence[int]
    """Processor cores for the step."""
    batch_cores: Sequence[int]
    """Processor cores for making batches."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run ended with."""

    vectors: WordVectors
    tasks: Sequence[evaluations.Task]
    """What the run is measured by."""
    words: int
    """Words of the corpus read since the run started or was resumed, each epoch counted."""
    seconds: float
    """Wall seconds of the loop, compilation and evaluation included."""


def train(settings: Experiment, place: Place, screen: Screen) -> Trained:
    """Trains, or goes on with a run that was cut off; evaluates on the way and at the end.

    Raises Problem for what the user can mend and Preempted when the run was told to stop.
    """
    run_folder.check(settings)
    if settings.start_from and not Path(settings.start_from).exists():
        raise Problem(f"--start_from={settings.start_from}: no such run folder or file of vectors: correct the path")
    tasks = evaluations.tasks(
        settings.evaluate.tasks, place.data, evaluations.Options(vocabulary=settings.evaluate.vocabulary)
    )
    source = documents.find(
        settings.corpus, text=settings.text, data=place.data, cache=place.cache, progress=screen.amount
    )
    processes.join(settings.processes)
    os.sched_setaffinity(0, place.step_cores)  # JAX's threads, which start now, inherit it
    devices = mesh.make(settings.mesh)
    os.sched_setaffinity(0, {*place.step_cores, *place.batch_cores})
    started = place.clock()
    vocabulary, tokens, material = prepared(source, settings, place, screen)
    preparing = place.clock() - started
    os.sched_setaffinity(0, place.batch_cores)
    job = architectures.of(settings).build(settings, material, devices, initial(settings, vocabulary))
    with opened(settings, source, vocabulary, tokens) as folder, processes.stopping() as stop:
        checkpoints = Checkpoints(Path(settings.run) / run_folder.CHECKPOINTS, settings.checkpoint.keep)
        first, state = resumed(checkpoints, job, screen)
        screen.note(opening(settings, job, vocabulary, tokens, first))
        if job.note:
            screen.note(job.note)
        started = place.clock()
        around = loop.Surroundings(
            place.clock,
            stop,
            processes.saving(settings.checkpoint, place.clock),
            lambda now: screen.draw(progress(now)),
            settings.log.seconds,
        )
        every = settings.evaluate.every
        evaluators = [loop.Evaluator(task.name, every, measure(task, settings, job, vocabulary)) for task in tasks]
        same, speed = sinks(settings, first)
        if speed and not first:
            speed.write(0, {"preparing": round(preparing, 3)})
        runner = loop.Loop(job, checkpoints, same, speed, evaluators, around, settings.log.metrics)
        if folder:
            folder.began()
        state = runner.run(job.start(settings.seed) if state is None else state, first)
        screen.end()
        runner.close()
    seconds = place.clock() - started
    return Trained(encoder.encoded(settings, vocabulary, job.host_tables(state)), tasks, runner.words, seconds)


def resumed(checkpoints: Checkpoints, job: jobs.Job, screen: Screen) -> tuple[int, Any]:
    """The step to go on from and its state; 0 and None where nothing was saved yet. Raises Problem for damage."""
    first, state = checkpoints.restore(job.like()) or (0, None)
    processes.barrier("resumed")
    broken = checkpoints.drop_after(first)
    if broken:
        screen.note(
            f"{checkpoints.folder}: {', '.join(map(str, broken))}: cut off or damaged: left out, "
            + (f"going on from {first}" if first else "beginning again")
        )
    return first, state


def measure(
    task: evaluations.Task, settings: Experiment, job: jobs.Job, vocabulary: Vocabulary
) -> Callable[[Any], dict[str, float]]:
    """A task's scores as a function of a training state."""
    return lambda state: task.scores(encoder.encoded(settings, vocabulary, job.host_tables(state)))


def prepared(
    source: documents.Source, settings: Experiment, place: Place, screen: Screen
) -> tuple[Vocabulary, shards.TokenShards, Any]:
    """The vocabulary, the numbered corpus and what the architecture makes of it; found in the cache but for the first.

    Raises Problem for a text that no vectors can be learnt from.
    """

    def numbered() -> tuple[Vocabulary, shards.TokenShards]:
        return shards.prepare(source, settings.text, settings.vocabulary, place.cache, screen.amount)

    vocabulary, tokens = by_first_then_others("corpus", numbered)
    screen.end()
    if tokens.replaced:
        screen.note(f"{tokens.replaced:,} invalid byte sequences were replaced by U+FFFD")
    if tokens.note:
        screen.note(tokens.note)
    if tokens.tokens == tokens.lines:
        raise Problem(
            f"{source}: no word has a neighbour in its line, so there is nothing to learn: put whole sentences on a "
            f"line, or lower --vocabulary.min_count={settings.vocabulary.min_count}"
        )
    corpus = jobs.Corpus(vocabulary.words, vocabulary.counts, tokens, place.cache, screen.amount)
    material = by_first_then_others("material", lambda: architectures.of(settings).prepare(settings, corpus))
    screen.end()
    return vocabulary, tokens, material


def by_first_then_others(name: str, make: Callable[[], Any]) -> Any:
    """What is made by one process, and found in the cache by the others. Raises the Problem that it meets."""
    made = failure = None
    for turn in (True, False):
        if processes.first() is turn:
            try:
                made = make()
            except Problem as problem:  # raised when the others, who wait, have found it too
                failure = problem
        processes.barrier(f"{name} {turn}")
    if failure:
        raise failure
    return made


def initial(settings: Experiment, vocabulary: Vocabulary) -> jobs.Initial | None:
    """The vectors that --start_from names, of the words in common. Raises Problem where none fits."""
    if not settings.start_from:
        return None
    there = encoder.load(settings.start_from)
    width = there.vectors.shape[1]
    if width != settings.model.width:
        flag = f"--{settings.architecture}.width"
        raise UsageProblem(f"--start_from={settings.start_from} has vectors of {width}: set {flag}={width}")
    common = [(row, there.index[word]) for row, word in enumerate(vocabulary.words) if word in there.index]
    if not common:
        raise Problem(f"--start_from={settings.start_from}: no word in common with the corpus: is it the right one?")
    here, rows = np.array(common, np.int32).T
    return jobs.Initial(here, there.vectors[rows])


@contextlib.contextmanager
def opened(
    settings: Experiment, source: documents.Source, vocabulary: Vocabulary, tokens: shards.TokenShards
) -> Iterator[run_folder.RunFolder | None]:
    """The run's folder with what it holds from the start; on the process that writes it."""
    with run_folder.RunFolder(settings) if processes.first() else contextlib.nullcontext() as folder:
        if folder:
            folder.write(settings, vocabulary, provenance.facts(settings, source, vocabulary, tokens))
        processes.barrier("folder")
        yield folder


def sinks(settings: Experiment, first: int) -> tuple[list[metrics.Sink], metrics.Sink | None]:
    """Where numbers go: what is the same on every machine, and what is not; on the process that writes."""
    if not processes.first():
        return [], None
    path = Path(settings.run)
    same: list[metrics.Sink] = [metrics.Lines(path / run_folder.METRICS, first)]
    if settings.log.tensorboard:
        same.append(metrics.TensorBoard(path / "tensorboard", first))
    return same, metrics.Lines(path / run_folder.SPEED, first)


def opening(
    settings: Experiment, job: jobs.Job, vocabulary: Vocabulary, tokens: shards.TokenShards, first: int
) -> str:
    """The line before the first step."""
    device = jax.devices()[0]
    return (
        f"{tokens.tokens:,} of {vocabulary.total:,} words of text, {len(vocabulary.words):,} different; "
        f"{job.steps:,} batches" + (f", from {first:,} on" if first else "")
        + f"; {jax.device_count()} {device.platform} device{'s' if jax.device_count() > 1 else ''}"
    )


def progress(now: loop.Progress) -> str:
    """The line that says how far a run is."""
    rate = now.words / now.seconds if now.seconds else 0.0
    done = now.step - now.first
    left = now.seconds / done * (now.steps - now.step) if done else 0.0
    return (
        f"batch {now.step:,}/{now.steps:,}  {100 * now.step / now.steps:.0f} %  loss {now.loss:.4f}  "
        f"{rate:,.0f} words/s  {duration(left)} left"
    )


def closing(settings: Experiment, trained: Trained) -> None:
    """Prints what a run came to: neighbours, scores, speed and where it is."""
    vectors = trained.vectors
    known = [word for word in settings.evaluate.neighbours if word in vectors]
    if known:
        print("Nearest words")
        width = max(map(len, known))
        for word in known:
            print(f"  {word:{width}}  {', '.join(near for near, _ in vectors.most_similar(word, k=6))}")
        print()
    for task in trained.tasks:
        results, reason = task.beside_baselines(vectors)
        print(task.table(results).text())
        if reason:
            print(f"left out: {task.name}, baseline: {reason}\n")
    rate = trained.words / trained.seconds if trained.seconds else 0.0
    print(f"{trained.words:,} words in {duration(trained.seconds)}: {rate:,.0f} words/s")
    print(f"The run is in {settings.run}. Look around: python -m embeddings.neighbours --model={settings.run} WORD")
