"""Devices that are not here: what the TPU's compiler makes of a step for a pod that nobody has paid for yet.

The package libtpu (extra [tpu]) brings the compiler, which runs on any machine. It reads a few environment variables
when JAX starts, so a command sets ENVIRONMENT before it imports JAX.
"""
import collections
import dataclasses
import math
import re
from typing import Any

import jax
from jax.experimental import topologies

from embeddings.problems import Problem, UsageProblem

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-256",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
MEMORY = {"v4": 32, "v5e": 16, "v5p": 95, "v6e": 32}
"""GiB of memory a chip (cloud.google.com/tpu/docs, system architecture)."""

_COLLECTIVE = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)
_SHAPE = re.compile(r"(?P<type>[a-z]+)(?P<bits>\d+)\[(?P<sizes>[\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a compiled step takes of each chip."""

    chips: int
    state: int
    """Bytes of the state and one batch."""
    temporary: int
    """Bytes needed while the step runs, beside them."""
    program: int
    """Bytes of the program."""
    flops: float
    """Floating point operations a step; of a loop whose length is data, those of one round."""
    collectives: dict[str, tuple[int, int]]
    """By kind: how many stand in the program, and the bytes that the largest gives back."""

    @property
    def total(self) -> int:
        """Bytes a chip in all."""
        return self.state + self.temporary + self.program


def devices(name: str) -> list[Any]:
    """The devices of a TPU topology as `v5e:2x4` (a slice of 8) or `v5e:16x16`; they can be compiled for, not run on.

    Raises Problem where libtpu is missing and UsageProblem where it knows no such topology.
    """
    try:
        return list(topologies.get_topology_desc(name, "tpu").devices)
    except (RuntimeError, ValueError, NotImplementedError) as failure:
        reason = str(failure).strip().partition("\n")[0]
        if "libtpu" in reason or "not installed" in reason:
            raise Problem("the TPU compiler is missing: pip install 'embeddings[tpu]'") from None
        raise UsageProblem(f"--topology={name}: {reason or 'unknown'}: write it as v5e:2x4 or v5p:4x4x8") from None


def report(lowered: jax.stages.Lowered, chips: int) -> Report:
    """Compiles a step that was lowered for `chips` devices and reads what it takes."""
    compiled = lowered.compile()
    memory = compiled.memory_analysis()
    cost = compiled.cost_analysis() or {}
    return Report(
        chips,
        memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.generated_code_size_in_bytes,
        float(cost.get("flops", math.nan)),
        collectives(compiled.as_text()),
    )


def collectives(program: str) -> dict[str, tuple[int, int]]:
    """By kind: how many collectives stand in the text of a compiled program, and the bytes of the largest result."""
    found: dict[str, list[int]] = collections.defaultdict(list)
    for match in _COLLECTIVE.finditer(program):
        shapes = _SHAPE.finditer(match["shapes"])
        found[match["kind"]].append(
            sum(int(s["bits"]) // 8 * math.prod(map(int, filter(None, s["sizes"].split(",")))) for s in shapes)
        )
    return {kind: (len(sizes), max(sizes)) for kind, sizes in sorted(found.items())}
