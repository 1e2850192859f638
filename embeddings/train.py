"""Trains an experiment, or goes on with one that was cut off.

    python -m embeddings.train --flagfile=experiments/quick.flags
    python -m embeddings.train --flagfile=experiments/word2vec/enwiki_skipgram.flags --run=runs/enwiki
    python -m embeddings.train --corpus=my_texts/ --train.epochs=3 --run=runs/mine
"""
import os
import sys
import time
from pathlib import Path

from embeddings import command
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem


def main(settings: Experiment, words: list[str]) -> None:
    """Runs the experiment: corpus, devices, loop, evaluation, in this order."""
    if not settings.run:
        raise UsageProblem("--run=FOLDER is missing: name the folder that this run is written to")
    if settings.export and Path(settings.export).exists():
        raise Problem(f"--export={settings.export}: is there already: choose another name")
    cores = sorted(os.sched_getaffinity(0))
    if runs_rows_on_one_cpu_device(settings):
        # A row step is a chain of small operations: one thread runs it faster than two that wait for each other.
        # The batches are made by a thread that gets the other cores.
        replicas = settings.train.replicas
        more = f" --xla_force_host_platform_device_count={replicas}" if replicas > 1 else ""
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false{more}"
        step_cores, batch_cores = (cores[:1], cores[1:] or cores) if replicas == 1 else (cores, cores)
    else:
        step_cores, batch_cores = cores, cores
    cache = command.cache()
    from embeddings import levels, session  # late, as they import JAX, which reads XLA_FLAGS
    from embeddings.screen import Screen
    from embeddings.training import processes

    data = os.environ.get("EMBEDDINGS_DATA")
    place = levels.Place(
        Path(data) if data else None,
        cache,
        time.monotonic,
        step_cores,
        batch_cores,
    )
    screen = Screen(sys.stderr)
    try:
        trained = session.train(settings, place, screen)
    finally:
        screen.end()
    session.closing(settings, trained)
    if settings.export and processes.first():
        from embeddings import export

        export.write_folder(settings.run, Path(settings.export))
        print(f"{settings.export}: the model for sentence-transformers and transformers")


def runs_rows_on_one_cpu_device(settings: Experiment) -> bool:
    """Whether this run updates rows of tables, on the processor, as a single device."""
    accelerator = any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/accel0", "/dev/vfio/0", "/dev/kfd"))
    platform = os.environ.get("JAX_PLATFORMS", "")
    several = "device_count" in os.environ.get("XLA_FLAGS", "") or os.environ.get("JAX_NUM_CPU_DEVICES")
    single = not several and not settings.processes.coordinator
    return settings.by_rows and single and (platform == "cpu" or not accelerator)


if __name__ == "__main__":
    command.run(main, Experiment)
