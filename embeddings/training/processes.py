"""Several processes as one run: who takes part, and the decisions that all of them must make alike."""
import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from embeddings import experiment
from embeddings.problems import Problem

LONGEST = 7 * 24 * 3600 * 1000  # milliseconds to wait for others that are alive
AGREE_EVERY = 10  # batches between two questions to process 0's clock


def join(config: experiment.Processes) -> None:
    """Joins this process to the others of its run; does nothing for a run of one process.

    Must come before the first use of a device. Raises Problem when the others do not come.
    """
    if not config.coordinator:
        return
    which = () if config.coordinator == "auto" else (config.coordinator, config.count, config.index)
    failures: list[Exception] = []

    def meet() -> None:
        try:
            jax.distributed.initialize(*which, initialization_timeout=math.ceil(config.seconds) + 60)
        except Exception as failure:  # JAX raises what its many ways of finding the others raise
            failures.append(failure)

    # In a thread that can be left behind, as JAX aborts the process when its own time is over.
    joining = threading.Thread(target=meet, name="joining", daemon=True)
    joining.start()
    joining.join(config.seconds)
    flag = f"--processes.coordinator={config.coordinator}"
    if joining.is_alive():
        raise Problem(
            f"{flag}: not all --processes.count={config.count} processes met within {config.seconds:g} seconds: see "
            "that each was started and reaches this address, or raise --processes.seconds"
        )
    if failures:
        reason = (str(failures[0]).strip() or type(failures[0]).__name__).splitlines()[0].rstrip(".")
        raise Problem(f"{flag}: cannot join the other processes: {reason}: name process 0 and a free port of it")


def barrier(name: str) -> None:
    """Returns when every process has come here, `name` being used once. Raises Problem when one of them has left.

    It is the coordinator that is asked: a collective gives up after half a minute, and a corpus may take hours.
    """
    if jax.process_count() > 1:
        try:
            ocp.multihost.get_barrier_sync_fn()(key=name, timeout_ms=LONGEST)
        except jax.errors.JaxRuntimeError as failure:
            reason = str(failure).splitlines()[0]
            raise Problem(f"another process of this run has left: its own message says why ({reason})") from None


def by_first_then_others(name: str, make: Callable[[], Any]) -> Any:
    """What is made by one process, and found in the cache by the others. Raises the Problem that it meets."""
    made = failure = None
    for turn in (True, False):
        if first() is turn:
            try:
                made = make()
            except Problem as problem:  # raised when the others, who wait, have found it too
                failure = problem
        barrier(f"{name} {turn}")
    if failure:
        raise failure
    return made


def agreed(scores: dict[str, float]) -> dict[str, float]:
    """The numbers of process 0, under the names that all processes have."""
    if jax.process_count() == 1:
        return scores
    values = multihost_utils.broadcast_one_to_all(np.array(list(scores.values()), np.float32))
    return dict(zip(scores, map(float, values), strict=True))


def first() -> bool:
    """Whether this is the process that writes what one process writes."""
    return jax.process_index() == 0


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[int], bool]]:
    """A function of the step that says whether the run was told to stop; the same answer on every process.

    One process listens to SIGTERM and SIGINT itself; a second SIGINT does not wait for the step. Several use JAX's
    preemption service, which listens to SIGTERM and agrees on a step that none of them has passed.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        if number == signal.SIGINT and number in told:
            raise KeyboardInterrupt
        told.append(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda step: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def saving(config: experiment.Checkpoint, clock: Callable[[], float]) -> Callable[[int], bool]:
    """A function of the step that says whether a checkpoint is due; the same answer on every process.

    `clock` gives seconds; with several processes that of process 0 counts, asked every few batches.
    """
    last = clock()

    def by_steps(step: int) -> bool:
        return step % config.steps == 0

    def by_seconds(step: int) -> bool:
        nonlocal last
        due = clock() - last >= config.seconds
        if jax.process_count() > 1:
            if step % AGREE_EVERY:
                return False
            due = bool(multihost_utils.broadcast_one_to_all(due))
        if due:
            last = clock()
        return due

    if config.steps:
        return by_steps
    return by_seconds if config.seconds else lambda step: False
