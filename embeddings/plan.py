"""Compiles an experiment's step with the real TPU compiler, for a pod that is not there: does it fit, what travels?

    python -m embeddings.plan --flagfile=experiments/word2vec/enwiki_skipgram.flags --topology=v5e:2x4
    python -m embeddings.plan --flagfile=my.flags --topology=v5e:16x16 --mesh.tensor=4 --different_words=2000000

Needs the extra [tpu]. The corpus is not read; of a Transformer that --start_from names, its sizes are taken.
"""
import dataclasses
import os
import time

from embeddings import command
from embeddings.experiment import Experiment
from embeddings.fields import Positive

MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Plan(Experiment):
    """An experiment, and where it is to run."""

    topology: str = "v5e:2x4"
    """TPU slice to compile for, as v5e:2x4, v5e:16x16, v4:2x2x4, v5p:4x4x8, v6e:16x16."""
    different_words: Positive = 100000
    """Size of the vocabulary to plan for."""


def main(plan: Plan, words: list[str]) -> None:
    """Prints what one step takes of a chip."""
    from embeddings.training import topology  # late: imports JAX, which reads the environment

    os.environ.update(topology.ENVIRONMENT)
    from embeddings.levels import planned
    from embeddings.training import mesh

    start = time.monotonic()
    devices = topology.devices(plan.topology)
    made = planned.job(plan, plan.different_words, mesh.make(plan.mesh, devices))
    report = topology.report(made.lower(), len(devices))
    print(f"{plan.topology}: {report.chips} chips, compiled in {time.monotonic() - start:.0f} s")
    print(f"a chip: {report.state / MIB:,.1f} MiB state and batch + {report.temporary / MIB:,.1f} MiB temporary "
          f"+ {report.program / MIB:,.1f} MiB program = {report.total / MIB:,.1f} MiB")
    memory = topology.MEMORY.get(plan.topology.partition(":")[0])
    if memory:
        fits = "fits" if report.total < memory * 2**30 else "does not fit"
        print(f"{fits} in the {memory} GiB of a chip ({100 * report.total / (memory * 2**30):.1f} %)")
    for kind, (count, size) in report.collectives.items():
        print(f"{kind}: {count} in the program, the largest gives back {size / MIB:,.3f} MiB")
    if not report.collectives:
        print("no collectives")


if __name__ == "__main__":
    command.run(main, Plan)
