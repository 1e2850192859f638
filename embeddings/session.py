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
from jax.sharding import Mesh

from embeddings import levels, provenance
from embeddings.encoder import WordVectors
from embeddings.evaluation import tasks as evaluations
from embeddings.evaluation.tasks import task as kinds
from embeddings.experiment import Experiment
from embeddings.levels import Place, Prepared
from embeddings.problems import UsageProblem
from embeddings.screen import Screen, duration
from embeddings.training import job as jobs
from embeddings.training import loop, mesh, metrics, processes, replicas, run_folder
from embeddings.training.best import Best
from embeddings.training.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run ended with."""

    model: Any
    """What was trained, in use: word vectors, or a contextual model."""
    tasks: Sequence[kinds.Task]
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
    level = levels.of(settings)
    tasks = chosen(settings, place)
    ablating = ablation(settings, place)
    source = level.find(settings, place, screen)
    processes.join(settings.processes)
    devices = start_devices(settings, place)
    started = place.clock()
    prepared = level.prepare(settings, source, place, screen)
    preparing = place.clock() - started
    check_fit(tasks, getattr(prepared, "told", None), ablating)
    os.sched_setaffinity(0, place.batch_cores)
    job = prepared.job(devices)
    with contextlib.ExitStack() as files, opened(settings, prepared) as folder, processes.stopping() as stop:
        checkpoints = Checkpoints(Path(settings.run) / run_folder.CHECKPOINTS, settings.checkpoint.keep)
        first, state = resumed(checkpoints, job, screen)
        screen.note(opening(prepared, job, first))
        if job.note:
            screen.note(job.note)
        started = place.clock()
        around = loop.Surroundings(
            place.clock,
            stop,
            processes.saving(settings.checkpoint, place.clock),
            lambda now: screen.draw(progress(now, units(settings))),
            settings.log.seconds,
        )
        every = settings.evaluate.every
        evaluators = [loop.Evaluator(task.name, every, measure(task.scores, prepared, job)) for task in tasks]
        if ablating:
            heads = measure(ablating.scores, prepared, job)
            evaluators.append(loop.Evaluator(ablating.name, settings.ablate.every, heads))
        same, speed = sinks(settings, first)
        for sink in (*same, *filter(None, [speed])):
            files.callback(sink.close)
        if speed and not first:
            speed.write(0, {"preparing": round(preparing, 3)})
        best = kept(settings)
        runner = loop.Loop(job, checkpoints, same, speed, evaluators, around, settings.log.metrics, best)
        state = job.start(settings.seed) if state is None else state
        job.release()
        runner.begin(state, first)
        if folder:
            folder.began()
        state = runner.run(state, first)
        screen.end()
        if best:
            state = {**state, "params": best.params(job.like()["params"])}
            screen.note(f"{best.metric} is highest, {best.score:.4f}, at batch {best.step:,} of {job.steps:,}")
        runner.close()
    seconds = place.clock() - started
    return Trained(prepared.model(job.host_tables(state)), tasks, runner.words, seconds)


def start_devices(settings: Experiment, place: Place) -> Mesh:
    """The mesh of a run. JAX's threads, which start now, get the cores of its steps."""
    os.sched_setaffinity(0, place.step_cores)
    copies = settings.train.replicas > 1
    if copies:
        replicas.leave_cores_to_copies()
    devices = mesh.make(settings.mesh, jax.devices()[:1] if copies else None)
    os.sched_setaffinity(0, {*place.step_cores, *place.batch_cores})
    return devices


def chosen(settings: Experiment, place: Place) -> tuple[kinds.Task, ...]:
    """What the run is measured by. Raises UsageProblem for what cannot be measured on what is trained."""
    options = kinds.of(settings.evaluate, place.cache)
    tasks = evaluations.tasks(settings.evaluate.tasks, place.data, options)
    for task in tasks:
        check_offered("evaluate.tasks", task, settings)
    return tasks


def check_offered(flag: str, task: Any, settings: Experiment) -> None:
    """Raises UsageProblem for a task that needs what is not trained."""
    if task.needs not in offered(settings):
        raise UsageProblem(f"--{flag}={task.name} needs {kinds.NEEDS[task.needs][0]}, which "
                           f"--architecture={settings.architecture} does not make: leave it out")


def check_fit(
    tasks: Sequence[kinds.Task], told: tuple[int, tuple[str, ...]] | None, ablating: Any = None
) -> None:
    """Raises UsageProblem for a task of other classes, or of other numbers of texts, than the model will tell.

    `told` are the texts that it tells something of at once, and its classes, as levels.sentences has it; `ablating` is
    what `ablation` gives, whose task is asked too, or None.
    """
    asked = [("evaluate.tasks", task) for task in tasks] + ([("ablate.task", ablating.task)] if ablating else [])
    for flag, task in asked:
        reason = task.unfit((told[0],), told[1]) if told and task.needs in ("classes", "numbers") else None
        if reason:
            raise UsageProblem(f"--{flag}={task.name} {reason}; leave it out, or correct the examples")


def offered(settings: Experiment) -> set[kinds.Need]:
    """What of evaluation.tasks.task.NEEDS the model of a run will have."""
    if settings.level == "words":
        return {"words", "texts", "tokens"}
    if settings.level == "tokens":
        return {"texts", "tokens", "tags" if settings.architecture == "tagger" else "answers"}
    if settings.level == "sequences":
        return {"texts", "tokens", "predictions"}
    told = {"softmax": "classes", "regression": "numbers"}.get(getattr(settings.model, "loss", ""))
    if getattr(settings.model, "joined", False):
        return {told}
    return {"texts", "tokens", *([told] if told and not settings.model.matryoshka else [])}


def ablation(settings: Experiment, place: Place) -> Any:
    """What heads are taken apart by on the way (heads.inside), where that is asked for. Raises as `chosen`."""
    part = settings.ablate
    if not part.task:
        return None
    from embeddings.heads import inside  # late: what it needs takes a moment, and few runs do

    found = inside.ablation_of(part.task, part.text, place.data, part.resamples)
    if found.task.needs != "predictions":  # which what training starts from may do or not
        check_offered("ablate.task", found.task, settings)
    return found


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


def kept(settings: Experiment) -> Best | None:
    """What keeps the best parameters, where they are asked for."""
    train, folder = settings.train, Path(settings.run) / run_folder.BEST
    return Best(folder, train.best, settings.evaluate.every, train.patience) if train.best else None


def measure(
    scores: Callable[[Any], dict[str, float]], prepared: Prepared, job: jobs.Job
) -> Callable[[Any], dict[str, float]]:
    """Scores of a model as a function of a training state; those of process 0 on every process."""
    return lambda state: processes.agreed(scores(prepared.model(job.host_tables(state))))


@contextlib.contextmanager
def opened(settings: Experiment, prepared: Prepared) -> Iterator[run_folder.RunFolder | None]:
    """The run's folder with what it holds from the start; on the process that writes it."""
    with run_folder.RunFolder(settings) if processes.first() else contextlib.nullcontext() as folder:
        if folder:
            folder.write(settings, prepared.save, provenance.facts(settings, prepared.facts()))
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


def opening(prepared: Prepared, job: jobs.Job, first: int) -> str:
    """The line before the first step."""
    device = jax.devices()[0]
    return (
        f"{prepared.opening()}; {job.steps:,} batches" + (f", from {first:,} on" if first else "")
        + f"; {jax.device_count()} {device.platform} device{'s' if jax.device_count() > 1 else ''}"
    )


def progress(now: loop.Progress, unit: str) -> str:
    """The line that says how far a run is."""
    rate = now.words / now.seconds if now.seconds else 0.0
    done = now.step - now.first
    left = now.seconds / done * (now.steps - now.step) if done else 0.0
    return (
        f"batch {now.step:,}/{now.steps:,}  {100 * now.step / now.steps:.0f} %  loss {now.loss:.4f}  "
        f"{rate:,.0f} {unit}/s  {duration(left)} left"
    )


def closing(settings: Experiment, trained: Trained) -> None:
    """Prints what a run came to: neighbours, scores, speed and where it is."""
    model = trained.model
    known = [word for word in settings.evaluate.neighbours if isinstance(model, WordVectors) and word in model]
    if known:
        print("Nearest words")
        width = max(map(len, known))
        for word in known:
            print(f"  {word:{width}}  {', '.join(near for near, _ in model.most_similar(word, k=6))}")
        print()
    for task in trained.tasks:
        results, reason = task.beside_baselines(model)
        print(task.table(results).text())
        if reason:
            print(f"left out: {task.name}, baseline: {reason}\n")
    rate, unit = trained.words / trained.seconds if trained.seconds else 0.0, units(settings)
    print(f"{trained.words:,} {unit} in {duration(trained.seconds)}: {rate:,.0f} {unit}/s")
    print(f"The run is in {settings.run}. Look around: {use(settings)}")


def use(settings: Experiment) -> str:
    """What can be done with a run."""
    if getattr(settings.model, "joined", False):
        told = "classify" if settings.model.loss == "softmax" else "predict"
        return f'embeddings.load("{settings.run}").{told}([("a text", "another one")])'
    if settings.contextual:
        return f"python -m embeddings.encode --input=TEXTS --model={settings.run}"
    return f"python -m embeddings.neighbours --model={settings.run} WORD"


def units(settings: Experiment) -> str:
    """What progress is counted in."""
    if settings.architecture == "glove":
        return "pairs"
    return "tokens" if settings.contextual else "words"
