"""The encoder below a head: what models of sentences and of tokens have in common, and no architecture of its own."""
from collections.abc import Callable, Sequence, Sized
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from embeddings.experiment import Experiment, Transformer
from embeddings.models import bert as berts
from embeddings.problems import UsageProblem
from embeddings.training import optimizer
from embeddings.training.architectures import sequences


def transformer(part: Transformer, vocabulary: int) -> berts.Config:
    """The configuration of an encoder that starts at random."""
    return berts.Config(vocabulary, part.positions, pooler=False, predictions=False, stack=sequences.stack(part))


def check(settings: Experiment, encoder: Any, mesh: Mesh) -> None:
    """Raises UsageProblem, naming the flag, for a size that the mesh cannot split."""
    if encoder.is_transformer:
        sequences.check(settings, encoder, mesh)


def held(settings: Experiment, encoder: Any) -> Any:
    """The parameters of an encoder, no gradient made for them where none of its layers is trained.

    What belongs to the task (optimizer.TASKS) has its gradient all the same, unless one layer of ELMo is read.
    """
    tune = settings.tune
    stay, mixed = tune.layers == 0 and tune.only == "all", tune.elmo_layer < 0

    def one(name: str, part: Any) -> Any:
        held = not mixed if name in optimizer.TASKS else stay
        return jax.lax.stop_gradient(part) if held else part

    return {name: one(name, part) for name, part in encoder.items()}


def trained(settings: Experiment, encoder: Any) -> Callable[[optimizer.Schedule], optax.GradientTransformation]:
    """What makes the optimizer of the parameters that the flags say are trained, from its learning rate."""
    return lambda rate: optimizer.tuned(optimizer.build(settings.optimizer, rate), settings.tune, encoder)


def frozen_layers(settings: Experiment, encoder: Any) -> int:
    """Layers, from below, that stay as they are. Raises UsageProblem for more layers to train than there are."""
    layers, trained = encoder.stack.layers, settings.tune.layers
    if trained > layers:
        raise UsageProblem(f"--tune.layers={trained}: the model has {layers}")
    return 0 if trained < 0 or settings.tune.only != "all" else layers - trained


def shares(settings: Experiment, sets: Sequence[Sized]) -> tuple[float, ...]:
    """How much of a batch each set gives."""
    weights = settings.examples.weights or tuple(len(some) for some in sets)
    return tuple(float(weight) / sum(weights) for weight in weights)
