"""Programs in processes of their own that take turns: each is asked by a line and answers by one, both JSON."""
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from embeddings.problems import Problem


class Worker:
    """A process that runs `python SCRIPT worker ARGUMENTS`."""

    def __init__(self, script: str, *arguments: object, **environment: str):
        self._process = subprocess.Popen(
            [sys.executable, script, "worker", *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, stderr=subprocess.DEVNULL, env=os.environ | environment)

    def ask(self, what: Any) -> dict[str, Any]:
        """What it says of one turn. Raises Problem where it has ended."""
        print(json.dumps(what), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise Problem("a program ended early: is sentence-transformers installed?")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def serve(turn: Callable[[Any], dict[str, Any]]) -> None:
    """The process of a Worker: answers each line with seconds, CPU seconds, peak bytes and what `turn` gives."""
    for line in sys.stdin:
        asked = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        found = turn(asked)
        seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, **found}), flush=True)


def flops(stack: Any, lengths: Sequence[int]) -> float:
    """Floating-point operations of texts of so many tokens in a stack of layers (transformer.Config), forwards.

    Products only, without padding: 8 D^2 + 4 D F a token and layer, and 4 D for each pair of tokens of a text.
    """
    D, F = stack.width, stack.feed_forward
    return stack.layers * sum(n * (8 * D * D + 4 * D * F) + 4 * D * n * n for n in lengths)


def say(row: dict[str, Any], output: str) -> None:
    """Prints a row, and adds it to a file where one is named."""
    print(json.dumps(row), flush=True)
    if output:
        with Path(output).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
