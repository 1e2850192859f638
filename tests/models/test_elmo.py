"""The bidirectional language model, against loops over its equations, and what must not change its vectors."""
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from embeddings import experiment
from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.models.dropout import row_keys
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.training import mesh as meshes

SMALL = elmo.Config(
    character_cnn.Config(width=3, filters=((1, 4), (2, 5)), highways=1, longest=8), width=6, cells=10, layers=3,
    cell_clip=0.3, proj_clip=0.2, dropout=0.5,
)
SENTENCES = ["the cat sat", "one", "a much longer sentence of eight words", "two words", "the cat sat on it"]
apply = jax.jit(elmo.apply, static_argnums=1, static_argnames="outputs")
STATES = frozenset([elmo.STATES])


@functools.cache
def parameters(config=SMALL, seed=0, scale=0.4):
    """Nothing at 0, and of a size at which the clips are met."""
    shapes = jax.eval_shape(lambda: elmo.init(jax.random.key(0), config))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=scale), jnp.float32), shapes)


def rows(texts, T=32, B=8, longest=8):
    """Texts as a batch; a list of texts is a packed row."""
    packed = [[text] if isinstance(text, str) else text for text in texts]
    words = [[[BEGIN, *text.split(), END] for text in row] for row in packed]
    characters, segments = np.zeros((B, T, longest), np.int32), np.zeros((B, T), np.int32)
    for b, row in enumerate(words):
        flat = [word for words in row for word in words]
        characters[b, : len(flat)] = Characters(longest).ids(flat)
        segments[b, : len(flat)] = np.repeat(np.arange(1, len(row) + 1), [len(words) for words in row])
    return elmo.Batch(jnp.asarray(characters), jnp.asarray(segments))


def each(states, lengths):
    """States of the words of each row, without padding."""
    return [np.asarray(states)[:, b, :length] for b, length in enumerate(lengths)]


def lengths(texts):
    return [len(text.split()) + 2 for text in texts]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clip(x, limit):
    return x if limit is None else np.clip(x, -limit, limit)


def direction_by_loop(config, lstm, d, x, h0, c0):
    """Outputs of all layers in one direction over one sentence, and h and c at its end, by the equations."""
    outputs, last = [], []
    for layer in range(config.layers):
        W, U, b, P = (lstm[name][layer, d] for name in ("kernel", "recurrent", "bias", "projection"))
        h, c, y = h0[layer], c0[layer], []
        for x_t in x:
            i, j, f, o = np.split(x_t @ W + h @ U + b, 4)
            c = clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), config.cell_clip)
            h = clip((sigmoid(o) * np.tanh(c)) @ P, config.proj_clip)
            y.append(h + x_t if config.use_skip_connections and layer > 0 else h)
        outputs.append(y)
        last.append((h, c))
        x = y
    return np.array(outputs), last


def by_loop(config, params, x, carry=None):
    """[L + 1, T, 2 D] of one sentence."""
    lstm = jax.tree.map(lambda a: np.asarray(a, np.float64), params["lstm"])
    h, c = (np.zeros((config.layers, 2, size)) for size in (config.width, config.cells))
    if carry is not None:
        h, c = (np.asarray(part, np.float64) for part in carry)
    forward, at_end = direction_by_loop(config, lstm, 0, list(x), h[:, 0], c[:, 0])
    backward, at_start = direction_by_loop(config, lstm, 1, list(x[::-1]), h[:, 1], c[:, 1])
    states = np.concatenate([forward, backward[:, ::-1]], axis=-1)
    return np.concatenate([np.concatenate([x, x], axis=-1)[None], states]), (at_end, at_start)


@pytest.mark.parametrize(("change", "carried"), [
    ({}, False), ({"use_skip_connections": False}, True), ({"cell_clip": None, "proj_clip": None, "layers": 1}, True),
], ids=str)
def test_layers_are_what_the_equations_say(change, carried):
    config = dataclasses.replace(SMALL, **change)
    params, batch, rng = parameters(config), rows(SENTENCES), np.random.default_rng(1)
    start = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=0.1), a.dtype), elmo.start(config, 8))
    start = start if carried else None
    x = np.asarray(character_cnn.apply(params["characters"], config.characters, batch.characters, "float32"))
    out = apply(params, config, batch._replace(carry=start), outputs=STATES)
    for b, length in enumerate(lengths(SENTENCES)):
        own = None if start is None else jax.tree.map(lambda a, b=b: a[:, :, b], start)
        want, (at_end, at_start) = by_loop(config, params, x[b, :length], own)
        np.testing.assert_allclose(out.states[:, b, :length], want, rtol=1e-4, atol=1e-5)
        for layer in range(config.layers):
            for d, (h, c) in enumerate((at_end[layer], at_start[layer])):
                np.testing.assert_allclose(out.carry.h[layer, d, b], h, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(out.carry.c[layer, d, b], c, rtol=1e-4, atol=1e-5)
        assert not np.asarray(out.states[:, b, length:]).any()
    assert (out.hidden == out.states[-1]).all()
    if config.cell_clip is not None:  # the loop has met both clips
        assert np.isclose(np.abs(out.carry.c), config.cell_clip).any()
        assert np.isclose(np.abs(out.carry.h), config.proj_clip).any()


@pytest.mark.reference
def test_one_layer_is_torchs_lstm_with_a_projection():
    torch = pytest.importorskip("torch")
    config = dataclasses.replace(SMALL, layers=1, cell_clip=None, proj_clip=None)
    params = parameters(config)
    M, D = config.cells, config.width
    theirs = torch.nn.LSTM(D, M, proj_size=D, bidirectional=True, batch_first=True)
    order = np.concatenate([np.arange(M), np.arange(2 * M, 3 * M), np.arange(M, 2 * M), np.arange(3 * M, 4 * M)])
    with torch.no_grad():
        for d, suffix in enumerate(("", "_reverse")):
            lstm = {name: np.asarray(a[0, d]) for name, a in params["lstm"].items()}
            bias = lstm["bias"] + np.repeat([0, 0, 1, 0], M)
            values = {"weight_ih": lstm["kernel"].T[order], "weight_hh": lstm["recurrent"].T[order],
                      "bias_ih": bias[order], "bias_hh": 0 * bias, "weight_hr": lstm["projection"].T}
            for name, value in values.items():
                getattr(theirs, f"{name}_l0{suffix}").copy_(torch.tensor(np.ascontiguousarray(value)))
        x = np.random.default_rng(0).normal(size=(4, 7, D)).astype(np.float32)
        sizes = [7, 3, 1, 5]
        pack, unpack = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
        packed = pack(torch.tensor(x), sizes, batch_first=True, enforce_sorted=False)
        want = unpack(theirs(packed)[0], batch_first=True)[0].numpy()
    segments = (np.arange(7) < np.array(sizes)[:, None]).astype(np.int32)
    out = elmo.contextual(params["lstm"], config, jnp.asarray(x), jnp.asarray(segments))
    np.testing.assert_allclose(out.hidden, want, atol=1e-6)


@pytest.mark.parametrize(("name", "sentences", "files_there"), [
    ("elmo", "sentences.json", (0, 1, 2)), ("elmo_bilm_tf", "lm_embeddings_sentences.json", (0,)),
])
def test_the_authors_outputs(data, name, sentences, files_there):
    """Batches of up to three sentences, ten of them, with the states kept from one to the next, as theirs were made."""
    h5py = pytest.importorskip("h5py")
    folder = data / "fixtures" / name
    config, params = files.read(folder)
    texts, carry = json.loads((folder / sentences).read_text()), elmo.start(config, len(files_there))
    for i in range(10):
        some = [texts[k][i] for k in files_there]
        batch = rows(some, T=64, B=len(some), longest=config.characters.longest)
        out = apply(params, config, batch._replace(carry=carry))
        carry = out.carry
        for row, k in enumerate(files_there):
            with h5py.File(folder / f"lm_embeddings_{k}.hdf5") as file:
                want = np.concatenate(file[str(i)][()], axis=-1)
            found = np.asarray(out.hidden)[row, 1 : 1 + len(want)]
            assert lengths(some)[row] == len(want) + 2
            assert np.abs(found - want).max() <= 2e-6


def test_the_authors_vectors_of_words(data):
    h5py = pytest.importorskip("h5py")
    folder = data / "fixtures/elmo"
    config, params = files.read(folder)
    words = (folder / "vocab_test.txt").read_text().rstrip("\n").split("\n")
    ids = jnp.asarray(Characters(config.characters.longest).ids(words))[None]
    with h5py.File(folder / "elmo_token_embeddings.hdf5") as file:
        want = file["embedding"][()]
    params = jax.tree.map(jnp.asarray, params["characters"])
    found = character_cnn.apply(params, config.characters, ids, "float32")[0]
    assert np.abs(found - want).max() <= 2e-6


def test_nothing_beside_a_sentence_changes_its_vectors():
    def states(*given, **shape):
        return np.asarray(apply(parameters(), SMALL, rows(*given, **shape), outputs=STATES).states)

    sizes, order = lengths(SENTENCES), [3, 0, 4, 2, 1]
    alone = [states([text], T=10, B=1)[:, 0, :size] for text, size in zip(SENTENCES, sizes, strict=True)]
    turned, packed = states([SENTENCES[n] for n in order]), states([SENTENCES[:3], SENTENCES[3:]])
    found = {
        "without padding": [states(SENTENCES[1:2], T=3, B=1)[:, 0] if n == 1 else alone[n] for n in range(5)],
        "in a batch": each(states(SENTENCES), sizes),
        "in another order": [each(turned, [sizes[n] for n in order])[order.index(n)] for n in range(5)],
        "packed": [*np.split(packed[:, 0, : sum(sizes[:3])], np.cumsum(sizes[:2]), axis=1),
                   *np.split(packed[:, 1, : sum(sizes[3:])], sizes[3:4], axis=1)],
    }
    for how, states_of in found.items():
        for one, want in zip(states_of, alone, strict=True):
            assert one.shape == want.shape and np.abs(one - want).max() <= 1e-6, how


def test_states_handed_on_are_those_of_each_rows_own_sentence():
    """Padding at the end of a row changes neither what is passed on forwards nor what came backwards."""
    params, none = parameters(), elmo.start(SMALL, 8)
    texts, later = SENTENCES[:2], SENTENCES[2:4]
    first = apply(params, SMALL, rows(texts)._replace(carry=none))
    second = apply(params, SMALL, rows(later)._replace(carry=first.carry)).hidden
    for b in range(2):
        own = apply(params, SMALL, rows([texts[b]], T=10, B=1)._replace(carry=elmo.start(SMALL, 1))).carry
        want = apply(params, SMALL, rows([later[b]], T=10, B=1)._replace(carry=own)).hidden[0]
        assert np.abs(second[b, :10] - want).max() <= 1e-6
    assert np.abs(second - apply(params, SMALL, rows(later)._replace(carry=none)).hidden).max() > 1e-3


def test_eight_devices_give_what_one_gives():
    params, batch, key = parameters(), rows(SENTENCES), jax.random.key(3)
    mesh = meshes.make(experiment.Mesh(), jax.devices()[:8])
    split = jax.device_put(batch, jax.tree.map(lambda _: NamedSharding(mesh, P("data")), batch))
    everywhere = jax.device_put(params, NamedSharding(mesh, P()))
    one = apply(params, SMALL, batch, key=key, outputs=STATES)
    eight = apply(everywhere, SMALL, split, key=key, outputs=STATES)
    assert len(eight.hidden.sharding.device_set) == 8
    assert np.abs(np.asarray(one.hidden) - np.asarray(eight.hidden)).max() <= 1e-6
    assert np.abs(np.asarray(one.states) - np.asarray(eight.states)).max() <= 1e-6


def test_bfloat16_stays_near_and_cells_stay_in_float32():
    batch = rows(SENTENCES)
    exact = apply(parameters(), SMALL, batch, outputs=STATES).hidden
    rough = apply(parameters(), dataclasses.replace(SMALL, dtype="bfloat16"), batch)
    assert rough.hidden.dtype == jnp.bfloat16 and rough.carry.c.dtype == jnp.float32
    distance = np.linalg.norm(rough.hidden.astype(jnp.float32) - exact) / np.linalg.norm(exact)
    assert 1e-4 < distance < 2e-2, distance


def test_dropout_falls_on_each_layer_and_keeps_the_mean():
    config, params, batch = SMALL, parameters(), rows(SENTENCES)
    exact = apply(params, config, batch, outputs=STATES)
    seen = [apply(params, config, batch, key=jax.random.key(n), outputs=STATES) for n in range(2)]
    there = np.asarray(batch.segments) > 0
    assert (np.asarray(seen[0].states[0]) == np.asarray(exact.states[0])).all()
    assert (seen[0].states[1] != exact.states[1]).any() and (seen[0].states != seen[1].states).any()
    dropped = np.asarray(seen[0].hidden)[there] == 0
    assert abs(dropped.mean() - config.dropout) < 0.1
    kept = np.asarray(seen[0].states[-1])[there][~dropped]
    np.testing.assert_allclose(np.asarray(seen[0].hidden)[there][~dropped], kept / (1 - config.dropout), rtol=1e-6)
    part = jax.tree.map(lambda a: a[1:3], batch)  # a row drops the same in another batch
    alone = apply(params, config, part, key=row_keys(jax.random.key(0), 8)[1:3]).hidden
    assert np.abs(alone - seen[0].hidden[1:3]).max() <= 1e-6


def test_the_start_is_that_of_the_authors_program():
    config = dataclasses.replace(SMALL, width=32, cells=64)
    lstm = jax.jit(elmo.init, static_argnums=1)(jax.random.key(0), config)["lstm"]
    assert lstm["kernel"].shape == (3, 2, 32, 256) and not lstm["bias"].any()
    for name, fans in (("kernel", 64 + 256), ("recurrent", 64 + 256), ("projection", 64 + 32)):
        limit = np.sqrt(6 / fans)
        assert 0.99 * limit < np.abs(lstm[name]).max() <= limit


def test_a_mixture_is_the_weighted_sum_of_layers():
    rng = np.random.default_rng(0)
    states, w = rng.normal(size=(4, 2, 3, 6)), rng.normal(size=4)
    there = np.array([[True, True, False], [True, False, False]])
    s = np.exp(w) / np.exp(w).sum()
    params = elmo.Mix(jnp.asarray(w, jnp.float32), jnp.float32(1.7))
    want = 1.7 * np.tensordot(s, states, 1)
    states = jnp.asarray(states, jnp.float32)
    np.testing.assert_allclose(elmo.mix(params, states), want, rtol=1e-5, atol=1e-6)
    layers = [(layer - layer[there].mean()) / layer[there].std() for layer in np.asarray(states)]
    want = 1.7 * np.tensordot(s, layers, 1)
    np.testing.assert_allclose(elmo.mix(params, states, jnp.asarray(there)), want, rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda p: jnp.sum(elmo.mix(p, states) ** 2))(params)
    assert np.isfinite(gradient.weights).all() and np.abs(np.sum(gradient.weights)) < 1e-3  # softmax is shift-free
