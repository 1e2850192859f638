"""Models that mark the tokens of texts, trained on examples. See experiment.py."""
import dataclasses

from embeddings.fields import Count, Positive
from embeddings.parts.sequences import Transformer


@dataclasses.dataclass(frozen=True)
class Tagger(Transformer):
    """A tag for each word of a sentence (Devlin et al. 2019, section 5.3); sizes are those of a model that starts at
    random."""


@dataclasses.dataclass(frozen=True)
class Reader(Transformer):
    """Answers to questions, found in a text (Devlin et al. 2019, section 4.2); sizes as of tagger."""

    length: Positive = 256
    """Tokens of a question and as much of its text as has room, T; a longer text is read in windows."""
    overlap: Count = 64
    """Tokens that two windows have in common."""
    longest_answer: Positive = 30
    """Tokens of an answer, at most."""
