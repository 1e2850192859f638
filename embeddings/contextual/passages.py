"""Questions and the texts that are to answer them, as a model reads both: a pair in one row, long texts in windows.

Shapes: n questions, w windows of all texts, N tokens of all windows.
"""
from collections.abc import Sequence

import numpy as np

from embeddings.contextual.texts import Reading, Windows, windows
from embeddings.problems import UsageProblem
from embeddings.tokenizers.frames import Ragged, framed
from embeddings.tokenizers.pieces import Pieces

QUESTION = 64
"""Tokens of a question that are read, at most (Devlin et al. 2019's program)."""


def read(tokenizer: Pieces, questions: Sequence[str], texts: Sequence[str], longest: int, overlap: int) -> Reading:
    """Windows of `longest` tokens, each with its question before it. Tokens of the text alone have characters.

    Raises UsageProblem where a question leaves a window no room for more than the overlap.
    """
    asked = tokenizer.encode(questions, special=False)
    known = np.minimum(asked.lengths, QUESTION)
    room = longest - tokenizer.added(pair=True) - known
    if len(room) and room.min() <= overlap:
        raise UsageProblem(f"rows of {longest} tokens leave {room.min()} for a text beside its question, and windows "
                           f"overlap by {overlap}: lower the overlap, or raise the length")
    whole = tokenizer.encode(texts, special=False, offsets=True)
    source, starts, owner = windows(whole.starts, Windows(room, overlap))
    of_text = Ragged(whole.ids[source], starts, whole.offsets[source])
    length = known[owner]
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(length)])
    place = np.repeat(asked.starts[owner] - edges[:-1], length) + np.arange(edges[-1])
    of_question = Ragged(asked.ids[place], edges, np.zeros((len(place), 2), np.int32))
    pair = framed(tokenizer.frame(pair=True), of_question, of_text)
    return Reading(pair.ids, pair.types, pair.starts, pair.offsets, None, owner, 0, len(texts))
