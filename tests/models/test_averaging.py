"""The deep averaging network's states beside loops over the definition."""
import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.sequences import Tokens
from embeddings.models import averaging

IDS = np.array([[3, 5, 3, 3, 2, 7, 0, 0], [1, 1, 4, 6, 6, 6, 6, 2]])
SEGMENTS = np.array([[1, 1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 2, 2, 2, 3]])
"""Text 1 of the first row has token 3 three times; in the second row a token stands on both sides of a border."""
ROWS = Tokens(IDS, SEGMENTS, np.zeros_like(IDS), np.zeros_like(IDS))


def bucket(one, two, number):
    """The hash of a pair, in whole numbers."""
    mixed = (one * 0x9E3779B1 ^ two * 0x85EBCA77) % 2**32
    mixed = (mixed ^ mixed >> 15) * 0x9E3779B1 % 2**32
    return mixed % number


def by_loop(params, config, row, place):
    text, token = SEGMENTS[row, place], IDS[row, place]
    state = np.array(params["words"][token], np.float64)
    after = place + 1
    if config.buckets and text and after < IDS.shape[1] and SEGMENTS[row, after] == text:
        state += params["pairs"][bucket(int(token), int(IDS[row, after]), config.buckets)]
    if config.sublinear and text:
        state /= np.sqrt(collections.Counter(IDS[row][SEGMENTS[row] == text])[token])
    return state


@pytest.mark.parametrize("buckets", [0, 11])
@pytest.mark.parametrize("sublinear", [False, True])
def test_it_is_the_definition(buckets, sublinear):
    config = averaging.Config(8, 4, buckets, sublinear=sublinear)
    params = averaging.init(jax.random.key(0), config)
    states = averaging.apply(params, config, ROWS).hidden
    for row, place in np.argwhere(SEGMENTS > 0):
        np.testing.assert_allclose(states[row, place], by_loop(params, config, row, place), atol=1e-6)


def test_a_word_of_n_counts_as_the_root_of_n_in_the_sum():
    config = averaging.Config(8, 4, 0, sublinear=True)
    params = averaging.init(jax.random.key(0), config)
    states = averaging.apply(params, config, ROWS).hidden
    expected = np.sqrt(3) * params["words"][3] + params["words"][5]
    np.testing.assert_allclose(states[0, :4].sum(axis=0), expected, atol=1e-6)


def test_words_are_dropped_whole():
    config = averaging.Config(8, 64, 11, dropout=0.5)
    params = averaging.init(jax.random.key(0), config)
    whole = averaging.apply(params, config, ROWS).hidden
    states = averaging.apply(params, config, ROWS, key=jax.random.key(1)).hidden
    gone = jnp.all(states == 0, axis=-1)
    assert 2 < gone.sum() < 14
    np.testing.assert_array_equal(states[~gone], whole[~gone])
