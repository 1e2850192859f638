"""A compiled way from tokens to vectors, and how texts are sent through it, several calls under way at a time.

Shapes: w windows, B rows of a call, T tokens of a row, S texts of a row at most, D width, E width of a text's vector.
"""
import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from embeddings.contextual.packing import Call, Packer
from embeddings.contextual.texts import Reading
from embeddings.inputs.packing import slots
from embeddings.inputs.sequences import Tokens
from embeddings.models.pooling import after_pooling, pooled

AHEAD = 3
"""Calls under way before the oldest is waited for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """From tokens to the vectors of texts, or, with no pooling, to the states of tokens."""

    module: ModuleType
    """models.bert or models.gpt."""
    config: Any
    layers: int
    """How many layers are gone through."""
    pooling: tuple[str, ...]
    """Modes; their vectors stand side by side. None of them: states come out."""
    steps: tuple[tuple[str, int], ...]
    """What is done with a pooled vector: NORMALIZE or the activation of a linear map, and the number of its weights."""
    mesh: Mesh

    @functools.cached_property
    def call(self) -> Callable[[Any, Tokens, Array, Any], Float[Array, "B S E"]]:
        """(parameters and steps, tokens, counted, head mask) -> vectors, compiled for each shape."""

        def apply(params: tuple, tokens: Tokens, counted: Array, head_mask: Any) -> Array:
            config, stack = self._shortened(params[0])
            hidden = self.module.apply(stack, config, self.given(tokens, counted), head_mask=head_mask).hidden
            return self.finished(params, hidden, tokens, counted)

        if self.mesh.size == 1:
            return jax.jit(apply)
        rows = P(self.mesh.axis_names)
        split = jax.shard_map(apply, mesh=self.mesh, in_specs=(P(), rows, rows, P()), out_specs=rows, check_vma=False)
        return jax.jit(split)

    def given(self, tokens: Tokens, counted: Int[Array, "B T"]) -> Tokens:
        """What of the tokens the model is shown."""
        return tokens

    def finished(
        self,
        params: tuple,
        hidden: Float[Array, "B T D"],
        tokens: Tokens,
        counted: Int[Array, "B T"],
        texts: int | None = None,
    ) -> Float[Array, "B _ E"]:
        """What becomes of the last layer's states; `texts` is S where a row does not hold as many as it may."""
        if not self.pooling:
            return hidden
        S = slots(tokens.ids.shape[1]) if texts is None else texts
        each = [pooled(how, hidden, counted, tokens.positions, S) for how in self.pooling]
        return after_pooling(jnp.concatenate(each, axis=-1), self.steps, params[1])

    def _shortened(self, params: Any) -> tuple[Any, Any]:
        """The model with its first layers only; the last norm belongs to the last layer."""
        stack, whole = self.config.stack, self.layers == self.config.stack.layers
        if whole:
            return self.config, params
        kept = stack.kept[: self.layers]
        stack = dataclasses.replace(stack, layers=self.layers, kept=kept, last_norm=False)
        layers = params["transformer"]["layers"]
        first = layers[: self.layers] if isinstance(layers, tuple) else jax.tree.map(lambda p: p[: self.layers], layers)
        transformer = params["transformer"] | {"layers": first}
        return dataclasses.replace(self.config, stack=stack), params | {"transformer": transformer}

    def sent(
        self, params: Any, calls: Iterator[Call], head_mask: Any = None
    ) -> Iterator[tuple[Call, Float[np.ndarray, "B _ E"]]]:
        """Each call with what the model makes of it, in order."""
        under_way: collections.deque[tuple[Call, Array]] = collections.deque()
        for call in calls:
            under_way.append((call, self.call(params, call.tokens, call.counted, head_mask)))
            if len(under_way) > AHEAD:
                oldest, made = under_way.popleft()
                yield oldest, np.asarray(made)
        yield from ((call, np.asarray(made)) for call, made in under_way)

    def vectors(
        self,
        params: Any,
        reading: Reading,
        packer: Packer,
        head_mask: Any = None,
        report: Callable[[int], None] | None = None,
    ) -> Float[np.ndarray, "w E"]:
        """The vector of each window; `report` is told how many are done."""
        out, done = np.empty((0, 0), np.float32), 0
        calls = packer.calls(reading.ids, reading.types, reading.starts, reading.skipped)
        for call, made in self.sent(params, calls, head_mask):
            there = call.texts >= 0
            if not out.size:
                out = np.empty((len(reading.owner), made.shape[-1]), np.float32)
            out[call.texts[there]] = made[there]
            done += int(there.sum())
            if report:
                report(done)
        return out

    def states(
        self, params: Any, reading: Reading, packer: Packer, head_mask: Any = None
    ) -> list[Float[np.ndarray, "N D"]]:
        """The states of each window's tokens; of a program without pooling."""
        found: dict[int, np.ndarray] = {}
        for call, made in self.sent(params, packer.calls(reading.ids, reading.types, reading.starts), head_mask):
            for row, slot in zip(*np.nonzero(call.texts >= 0), strict=True):
                found[int(call.texts[row, slot])] = made[row][call.tokens.segments[row] == slot + 1]
        return [found[window] for window in range(len(reading.owner))]
