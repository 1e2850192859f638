"""What is told of the tokens of texts, by their states: a tag for each word, and where a text answers a question.

Shapes: n texts, w windows of all, N tokens of all windows, D width of a state.
"""
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, Int64

from embeddings.contextual import passages
from embeddings.contextual import texts as reading
from embeddings.contextual.texts import Reading
from embeddings.objectives.tokens import END, START
from embeddings.tokenizers.pieces import Pieces

OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""
AT_ONCE = 1024
"""Texts whose states are there at the same time."""
Words = Sequence[str]
States = Callable[[Reading], Sequence[Float[np.ndarray, "_ D"]]]
"""The states of each window's tokens."""


def sentences(tokenizer: Pieces, words: Sequence[Words], longest: int) -> Reading:
    """Sentences, their words joined by blanks, as a model reads them: in windows where they are long."""
    return reading.read(tokenizer, [" ".join(some) for some in words], longest, overlap=0, offsets=True)


def first_tokens(words: Sequence[Words], read: Reading) -> tuple[Int64[np.ndarray, "k"], Int64[np.ndarray, "k"]]:
    """The first token of each word, and the word's number, all sentences together; some words have no token."""
    tokens, word = of_words(words, read.offsets, np.repeat(read.owner, np.diff(read.starts)))
    found, first = np.unique(word, return_index=True)
    return tokens[first], found


def of_words(
    words: Sequence[Words], offsets: Int[np.ndarray, "N 2"], owner: Int64[np.ndarray, "N"]
) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """The tokens that are of a word, special ones are of none, and its number, all sentences together.

    `owner` is the sentence of each token, its words joined by blanks. A token belongs where its last character stands:
    its first one may be the blank before the word, which is of the word where a token is nothing else.
    """
    spaces = np.array([len(word) + 1 for some in words for word in some], np.int64)
    starts = np.cumsum(spaces) - spaces
    texts = np.array([sum(len(word) + 1 for word in some) for some in words], np.int64)
    begins = np.cumsum(texts) - texts
    inside = np.flatnonzero(offsets[:, 1] > 0)  # special ones stand at 0; RoBERTa's blanks are of no width
    last = begins[owner[inside]] + offsets[inside, 1] - 1
    return inside, np.searchsorted(starts - 1, last, side="right") - 1


def tagged(words: Sequence[Words], tags: Sequence[Words], classes: Sequence[str], read: Reading) -> Int32[
    np.ndarray, "N"
]:
    """Marks for objectives.tokens.Tags."""
    number = {name: n for n, name in enumerate(classes, 1)}
    of_words = np.array([number[tag] for some in tags for tag in some], np.int32)
    tokens, found = first_tokens(words, read)
    marks = np.zeros(len(read.ids), np.int32)
    marks[tokens] = of_words[found]
    return marks


@dataclasses.dataclass(frozen=True, eq=False)
class Tagger:
    """Tags of words by the states of their first tokens, whoever trained it (Devlin et al. 2019, section 5.3)."""

    classes: tuple[str, ...]
    """Tags, in order."""
    params: Any
    """Of objectives.tokens.Tags."""

    def tag(
        self, tokenizer: Pieces, longest: int, states: States, words: Sequence[Words]
    ) -> list[tuple[str, ...]]:
        """The likeliest tag of each word; of a word without a token O."""
        found: list[tuple[str, ...]] = []
        for at in range(0, len(words), AT_ONCE):
            some = words[at : at + AT_ONCE]
            read = sentences(tokenizer, some, longest)
            tokens, which = first_tokens(some, read)
            tags = np.full(sum(map(len, some)), OUTSIDE, dtype=object)
            if len(tokens):
                scores = np.concatenate(states(read))[tokens] @ self.params["kernel"] + self.params["bias"]
                tags[which] = np.array(self.classes, dtype=object)[scores.argmax(axis=1)]
            ends = np.cumsum([len(one) for one in some])
            found += [tuple(tags[end - len(one) : end]) for one, end in zip(some, ends, strict=True)]
        return found


def spanned(spans: Sequence[tuple[int, int] | None], read: Reading) -> Int32[np.ndarray, "N"]:
    """Marks for objectives.tokens.Spans; `spans` are the characters of each text's answer, None where it has none.

    A window that does not hold all of the answer has none.
    """
    marks = np.zeros(len(read.ids), np.int32)
    for first, after, owner in zip(read.starts[:-1], read.starts[1:], read.owner, strict=True):
        text, begin = _text(read.offsets[first:after])
        span = spans[owner]
        if span is None or not len(text) or span[0] < text[0, 0] or span[1] > text[-1, 1]:
            marks[first] = START | END
            continue
        start = np.searchsorted(text[:, 0], span[0], side="right") - 1
        end = np.searchsorted(text[:, 1], span[1], side="left")
        marks[first + begin + start] |= START
        marks[first + begin + end] |= END
    return marks


def _text(offsets: Int32[np.ndarray, "_ 2"]) -> tuple[Int32[np.ndarray, "_ 2"], int]:
    """The characters of a window's tokens of the text, which are one after another, and the first one's place."""
    inside = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    begin = int(inside[0]) if len(inside) else 0
    return offsets[begin : int(inside[-1]) + 1] if len(inside) else offsets[:0], begin


class Answer(NamedTuple):
    """What of a text answers a question."""

    text: str
    """Empty where nothing does."""
    start: int
    """First character, and the one behind the last."""
    end: int
    score: float
    """How much likelier than that the text does not say: the difference of the logits of both ends."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """Answers by the states of tokens."""

    params: Any
    """Of objectives.tokens.Spans; those of others have a bias, which no answer depends on."""
    overlap: int
    """Tokens that windows of a long text have in common."""
    longest_answer: int
    """Tokens of an answer at most."""
    may_be_empty: bool
    """Whether nothing is answered where the first token, [CLS], scores higher than any span: what a model has learnt
    from questions that their texts do not answer. Else an answer is always given."""

    def answer(
        self, tokenizer: Pieces, longest: int, states: States, asked: Sequence[tuple[str, str]]
    ) -> list[Answer]:
        """Of each (question, text) the likeliest span."""
        found: list[Answer] = []
        for at in range(0, len(asked), AT_ONCE):
            questions, texts = zip(*asked[at : at + AT_ONCE], strict=True)
            read = passages.read(tokenizer, questions, texts, longest, self.overlap)
            best: dict[int, Answer] = {}
            none: dict[int, float] = {}
            for owner, start, end, score, empty in self._spans(read, states(read)):
                none[owner] = min(none.get(owner, np.inf), empty)
                if owner not in best or score > best[owner].score:
                    best[owner] = Answer(texts[owner][start:end], start, end, score)
            for owner, empty in ((n, none[n]) for n in range(len(texts))):
                answer = best[owner]._replace(score=best[owner].score - empty)
                silent = answer.score <= 0 and self.may_be_empty
                found.append(Answer("", 0, 0, answer.score) if silent or not answer.text else answer)
        return found

    def _spans(
        self, read: Reading, states: Sequence[Float[np.ndarray, "_ D"]]
    ) -> Iterator[tuple[int, int, int, float, float]]:
        """Of each window: its text, the likeliest span's characters and logits, and the logits of no answer."""
        for first, after, owner, of_window in zip(read.starts[:-1], read.starts[1:], read.owner, states, strict=True):
            text, begin = _text(read.offsets[first:after])
            s = of_window @ self.params["kernel"] + self.params.get("bias", 0)
            empty = float(s[0].sum())
            if not len(text):
                yield int(owner), 0, 0, -np.inf, empty
                continue
            start, end, score = likeliest(*s[begin : begin + len(text)].T, self.longest_answer)
            yield int(owner), int(text[start, 0]), int(text[end, 1]), score, empty


def likeliest(
    starts: Float[np.ndarray, "N"], ends: Float[np.ndarray, "N"], longest: int
) -> tuple[int, int, float]:
    """The i <= j < i + longest with the largest starts[i] + ends[j], and the sum."""
    N = len(starts)
    # sums[i, k] = starts[i] + ends[i + k]
    behind = np.concatenate([ends, np.full(longest, -np.inf, ends.dtype)])
    sums = starts[:, None] + np.lib.stride_tricks.sliding_window_view(behind, longest)[:N]
    i, k = np.unravel_index(sums.argmax(), sums.shape)
    return int(i), int(i + k), float(sums[i, k])
