"""The kernels of TPUs and GPUs beside the reference.

A TPU's is interpreted here, and compiled by the TPU's own compiler (extra [tpu]); a GPU's runs where one is:

    python -m pytest tests/models/test_kernels.py -m gpu -n 0
"""
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.models import kernels
from embeddings.models.attention import attention

B, T, S, H, K = 2, 40, 150, 2, 24
Q, KEYS, VALUES = (jax.random.normal(jax.random.key(n), (B, size, H, K)) for n, size in enumerate((T, S, S)))
OWN = jax.random.normal(jax.random.key(5), (B, T, H, K)), jax.random.normal(jax.random.key(6), (B, T, H, K))
SEGMENTS = jnp.array([[1] * 13 + [2] * 20 + [0] * 7, [1] * T])
KEY_SEGMENTS = jnp.array([[1] * 90 + [2] * 50 + [0] * 10, [1] * S])


@pytest.mark.parametrize("kernel", [
    functools.partial(kernels.splash, interpret=True), functools.partial(kernels.cudnn, implementation="xla"),
], ids=["splash", "cudnn"])
@pytest.mark.parametrize(("k", "v", "seen", "causal"), [
    (KEYS, VALUES, KEY_SEGMENTS, False), (*OWN, SEGMENTS, False), (*OWN, SEGMENTS, True),
], ids=["cross", "packed", "causal"])
def test_the_kernel_is_the_reference(kernel, k, v, seen, causal):
    """As it is asked for: the TPU's interpreted, the GPU's by XLA."""
    q = Q / K**0.5
    expected, _ = attention(q, k, v, SEGMENTS, seen, causal=causal)
    np.testing.assert_allclose(kernel(q, k, v, SEGMENTS, seen, causal=causal), expected, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("causal", [False, True])
def test_cudnn_is_the_reference(causal):
    """In bfloat16, forwards and backwards, with rows of several texts; the reference in float32."""
    def loss(how, weight, *inputs):
        z, _ = attention(*inputs, SEGMENTS, SEGMENTS, causal=causal, implementation=how)
        return jnp.sum(z.astype(jnp.float32) * weight)

    q, k, v = Q / K**0.5, *OWN
    weight = jax.random.normal(jax.random.key(9), v.shape)
    short = tuple(x.astype(jnp.bfloat16) for x in (q, k, v))
    text = jax.jit(functools.partial(loss, "kernel")).lower(weight, *short).compile().as_text()
    assert "cudnn" in text and "fmha" in text.lower()
    for got, want in zip(
        jax.tree.leaves(jax.value_and_grad(loss, (2, 3, 4))("kernel", weight, *short)),
        jax.tree.leaves(jax.value_and_grad(loss, (2, 3, 4))("xla", weight, q, k, v)), strict=True,
    ):
        assert np.linalg.norm(got.astype(jnp.float32) - want) < 0.02 * np.linalg.norm(want)


@pytest.mark.slow
def test_gradients_are_those_of_the_reference():
    def loss(how, q, k, v):
        return jnp.sum(how(q, k, v, SEGMENTS, SEGMENTS, causal=True) ** 2)

    reference = functools.partial(loss, lambda *inputs, causal: attention(*inputs, causal=causal)[0])
    kernel = functools.partial(loss, functools.partial(kernels.splash, interpret=True))
    for a, b in zip(*(jax.grad(f, (0, 1, 2))(Q, *OWN) for f in (kernel, reference)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_elsewhere_than_on_a_tpu_it_is_the_reference():
    q, k, v = (x.astype(jnp.bfloat16) for x in (Q, *OWN))
    for dtypes in ((q, k, v), (Q, *OWN)):
        got, _ = attention(*dtypes, SEGMENTS, SEGMENTS, implementation="kernel")
        np.testing.assert_array_equal(got, attention(*dtypes, SEGMENTS, SEGMENTS)[0])


SCRIPT = """
import functools, os
os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-256",
               "TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
import jax, jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec as P
from embeddings.models.attention import attention
devices = topologies.get_topology_desc("v5e:2x2", "tpu").devices
mesh = jax.sharding.Mesh(devices, ("data",))
rows = NamedSharding(mesh, P("data"))
x = jax.ShapeDtypeStruct((8, 512, 12, 64), jnp.bfloat16, sharding=rows)
segments = jax.ShapeDtypeStruct((8, 512), jnp.int32, sharding=rows)
z = jax.shard_map(lambda *a: attention(*a, causal=%s, implementation="kernel")[0], mesh=mesh,
                  in_specs=P("data"), out_specs=P("data"), check_vma=False)
for f in (z, jax.grad(lambda *a: z(*a).astype(jnp.float32).sum(), (0, 1, 2))):
    text = jax.jit(f).lower(x, x, x, segments, segments).compile().as_text()
    print("kernels", text.count("tpu_custom_call"))
"""


@pytest.mark.tpu
@pytest.mark.parametrize("causal", [False, True])
def test_the_tpu_compiler_takes_it(causal):
    """Forwards and backwards, over the chips of a slice, with rows of several texts."""
    pytest.importorskip("libtpu")
    done = subprocess.run([sys.executable, "-c", SCRIPT % causal], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    forwards, backwards = (int(line.split()[1]) for line in done.stdout.splitlines())
    assert forwards >= 1 and backwards >= 2
