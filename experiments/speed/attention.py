"""A Transformer's forward pass and gradient with attention by XLA and by the device's own kernel, in bfloat16.

    python experiments/speed/attention.py --lengths=64,128,512 --tokens=65536

Weights and tokens are random, rows hold four texts, nothing is dropped. Prints a JSON object a model and length: median
milliseconds of each form, and teraflops a second forwards. Where a device has no kernel, both forms are XLA's.
"""
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import workers

from embeddings import command
from embeddings.fields import Positive

SIZES = {"MiniLM": (6, 384, 12, 32, 1536), "BERT-base": (12, 768, 12, 64, 3072)}
"""Layers, width, heads, head width, feed-forward width."""
TEXTS = 4
"""Texts of a row."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is timed."""

    lengths: tuple[Positive, ...] = (64, 128, 512)
    """Tokens of a row."""
    tokens: Positive = 65536
    """Tokens of all rows."""
    repeats: Positive = 10
    """Calls that count."""
    output: str = ""
    """File that lines are also added to."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints a JSON object a model and length."""
    import jax
    import numpy as np

    from embeddings.inputs.sequences import Tokens
    from embeddings.models import bert, transformer

    draw = np.random.default_rng(0)
    for name, (layers, width, heads, head_width, inner) in SIZES.items():
        for T in flags.lengths:
            shape, one = (flags.tokens // T, T), T // TEXTS
            rows = (draw.integers(0, 30000, shape), np.broadcast_to(np.arange(T) // one + 1, shape),
                    np.broadcast_to(np.arange(T) % one, shape), np.zeros(shape))
            tokens = jax.device_put(Tokens(*(np.ascontiguousarray(row, np.int32) for row in rows)))
            said: dict[str, Any] = {"model": name, "length": T, "tokens": shape[0] * T}
            for form in ("xla", "kernel"):
                stack = transformer.Config(layers, width, heads, head_width, inner, dtype="bfloat16",
                                           implementation=form)
                config = bert.Config(30522, max(512, T), pooler=False, stack=stack)
                params = bert.init(jax.random.key(0), config)

                def forwards(params: Any, tokens: Any, config: Any = config) -> Any:
                    return bert.apply(params, config, tokens).hidden

                def summed(params: Any, tokens: Any, forwards: Callable = forwards) -> Any:
                    return forwards(params, tokens).sum()

                seconds = median(jax.jit(forwards), params, tokens, flags.repeats)
                said[form] = {"ms": 1e3 * seconds, "gradient_ms": 1e3 * median(
                    jax.jit(jax.grad(summed)), params, tokens, flags.repeats)}
                said[form]["teraflops"] = workers.flops(stack, [one] * TEXTS * shape[0]) / seconds / 1e12
            workers.say(said, flags.output)


def median(f: Callable, params: Any, tokens: Any, repeats: int) -> float:
    """Seconds of a call, after two that do not count."""
    import jax

    found = []
    for _ in range(repeats + 2):
        begin = time.perf_counter()
        jax.block_until_ready(f(params, tokens))
        found.append(time.perf_counter() - begin)
    return statistics.median(found[2:])


if __name__ == "__main__":
    command.run(main, Flags)
