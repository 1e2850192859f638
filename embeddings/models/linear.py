"""A linear map with a bias, y = W x + b, as it begins and as it is applied. Shapes: I inputs, O outputs."""
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def glorot(key: PRNGKeyArray, inputs: int, outputs: int) -> Float[Array, "I O"]:
    """Uniform in +- sqrt(6 / (I + O)) (Glorot and Bengio 2010)."""
    limit = (6 / (inputs + outputs)) ** 0.5
    return jax.random.uniform(key, (inputs, outputs), minval=-limit, maxval=limit)


def init(key: PRNGKeyArray, inputs: int, outputs: int) -> Any:
    """{"kernel": W, "bias": b}, the bias 0."""
    return {"kernel": glorot(key, inputs, outputs), "bias": jnp.zeros(outputs)}


def apply(params: Any, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
    """y, in float32; without a bias where there is none."""
    y = jnp.dot(x.astype(jnp.float32), params["kernel"], precision=jax.lax.Precision.HIGHEST)
    return y + params["bias"] if "bias" in params else y
