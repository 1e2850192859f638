"""The Transformer number by number in float64, over its definition: what the models are held to without a library."""
import math

import numpy as np


def attention(q, k, v, segments, key_segments, bias=None, causal=False):
    """z `[T, H, K]` and a `[H, T, S]` of one row; q is scaled already."""
    (T, H, K), S = q.shape, len(k)
    z, a = np.zeros((T, H, K)), np.zeros((H, T, S))
    for h in range(H):
        for t in range(T):
            seen = [s for s in range(S) if key_segments[s] == segments[t] and not (causal and s > t)]
            scores = [q[t, h] @ k[s, h] + (0 if bias is None else bias[h, t, s]) for s in seen]
            raised = [math.exp(score - max(scores)) for score in scores]
            for s, e in zip(seen, raised, strict=True):
                a[h, t, s] = e / sum(raised)
                z[t, h] += a[h, t, s] * v[s, h]
    return z, a


def norm(x, p, epsilon):
    """LayerNorm over the last axis."""
    mean = x.mean(-1, keepdims=True)
    return p["scale"] * (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon) + p["bias"]


def gelu(x):
    """By the error function."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x):
    """Hendrycks and Gimpel's approximation."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": lambda x: np.maximum(x, 0)}


def linear(x, p):
    """x W + b, one position at a time; W may have two axes of outputs or of inputs."""
    inner = p["kernel"].ndim - p["bias"].ndim
    return np.stack([np.tensordot(row, p["kernel"], inner) + p["bias"] for row in x])


def heads(x, memory, p, segments, key_segments, **how):
    """z and a of multi-head attention."""
    q, k, v = linear(x, p["query"]), linear(memory, p["key"]), linear(memory, p["value"])
    return attention(q / math.sqrt(q.shape[-1]), k, v, segments, key_segments, **how)


def layer(x, p, config, segments, bias=None, mask=None, memory=None):
    """One row through one layer, and its attention weights; `memory` is (states, their segments)."""
    pre = config.norm == "pre"

    def added(x, name, part):
        return x + part(norm(x, p[name], config.epsilon)) if pre else norm(x + part(x), p[name], config.epsilon)

    weights = []

    def own(x):
        z, a = heads(x, x, p["attention"], segments, segments, bias=bias, causal=config.causal)
        weights.append(a)
        return linear(z if mask is None else z * np.asarray(mask)[:, None], p["attention"]["output"])

    def cross(x):
        return linear(heads(x, memory[0], p["cross"], segments, memory[1])[0], p["cross"]["output"])

    def feed_forward(x):
        inner = FUNCTIONS[config.activation](linear(x, p["feed_forward"]["input"]))
        return linear(inner, p["feed_forward"]["output"])

    x = added(x, "attention_norm", own)
    if memory is not None:
        x = added(x, "cross_norm", cross)
    return added(x, "feed_forward_norm", feed_forward), weights[0]


def stack(x, layers, last_norm, config, segments, bias=None, masks=None, memory=None):
    """One row through all layers, a list of parameters: states `[L + 1, T, D]`, and each layer's weights."""
    states, weights = [x], []
    for number, p in enumerate(layers):
        mask = None if masks is None else masks[number]
        x, a = layer(x, p, config, segments, bias, mask, memory)
        states.append(x)
        weights.append(a)
    if last_norm is not None:
        states[-1] = norm(states[-1], last_norm, config.epsilon)
    return np.stack(states), weights
