"""A word as the bytes of its spelling: what ELMo's character network reads.

Peters, Neumann, Iyyer, Gardner, Clark, Lee, Zettlemoyer (2018), "Deep contextualized word representations", section
3.4, with the numbers of its authors' programs (bilm-tf's UnicodeCharsVocabulary, AllenNLP's ELMoCharacterMapper): a
word of UTF-8 bytes b_1 .. b_n takes C = 50 places,

    begin of word, b_1, .., b_m, end of word, padding, .., padding,        m = min(n, C - 2),

and every number is one more than it was meant to be (a byte 0-255, begin and end of a sentence 256 and 257, of a word
258 and 259, padding 260), so that 0 is left for words that are not there. A sentence begins and ends with words of one
character that no spelling has.

Shapes: V words, C characters, N bytes of all.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from embeddings.problems import Problem

BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = range(257, 262)
SIZE = 262
"""Rows that a table of characters needs: 0 for no word, bytes 1-256, and the five above."""
BEGIN, END = "<S>", "</S>"
"""Words that stand for the begin and the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Characters:
    """Words to numbers of `places` characters, C; as many bytes as fit are read of a longer word."""

    places: int = 50

    def __post_init__(self) -> None:
        """Raises Problem where not one byte fits."""
        if self.places < 3:
            raise Problem(f"{self.places} characters a word: begin, end and a byte between them take 3")

    def ids(self, words: Sequence) -> Int32[np.ndarray, "V C"]:
        """One row a word (a string); half a surrogate pair is left out.

        Raises Problem that names the position of what is not a string.
        """
        spelt = [_spelt(word, at)[: self.places - 2] for at, word in enumerate(words)]
        length = np.array([len(word) for word in spelt], np.int64)
        table = np.full((len(spelt), self.places), PADDING, np.int32)
        table[:, 0] = BEGIN_WORD
        row = np.repeat(np.arange(len(spelt)), length)
        start = np.cumsum(length) - length
        flat = np.frombuffer(b"".join(spelt), np.uint8)
        table[row, np.arange(len(flat)) - start[row] + 1] = flat.astype(np.int32) + 1
        table[np.arange(len(spelt)), length + 1] = END_WORD
        for lone, number in ((BEGIN, BEGIN_SENTENCE), (END, END_SENTENCE)):
            table[[at for at, word in enumerate(words) if word == lone]] = self._lone(number)
        return table

    def _lone(self, character: int) -> Int32[np.ndarray, "C"]:
        row = np.full(self.places, PADDING, np.int32)
        row[:3] = BEGIN_WORD, character, END_WORD
        return row


def _spelt(word: object, at: int) -> bytes:
    if not isinstance(word, str):
        raise Problem(f"word {at} is a {type(word).__name__}, not a string: {word!r:.80}")
    return word.encode(errors="ignore")
