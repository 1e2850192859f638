"""Rows of tokens: what contextual models read.

A row holds one text or several, one after another (packed). Tokens see each other where their segment is the same.

Shapes: B rows, T positions.
"""
from typing import NamedTuple

from jaxtyping import Array, Int


class Tokens(NamedTuple):
    """B rows of T tokens."""

    ids: Int[Array, "B T"]
    segments: Int[Array, "B T"]
    """Which text of its row a token belongs to, from 1; 0 is padding."""
    positions: Int[Array, "B T"]
    """Place of a token in its text, from 0."""
    types: Int[Array, "B T"]
    """Which part of its text a token belongs to: 1 for the second of a pair, else 0."""
