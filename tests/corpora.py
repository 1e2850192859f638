"""Corpora that tests make themselves."""
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Text:
    """A numbered corpus in memory; see inputs.shuffled.Tokens."""

    ids: np.ndarray
    segments: np.ndarray

    @property
    def tokens(self):
        return len(self.ids)

    def read(self, start, stop):
        return self.ids[start:stop], self.segments[start:stop]
