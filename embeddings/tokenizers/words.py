"""Text to words: runs of letters, marks and digits, or whatever stands between blanks.

One code path, in pyarrow's C++ with the interpreter's lock released, serves files by the block and single strings, so
the words of a corpus and the words of a question about it are cut alike.

    words:       lower case (if asked), every run of [^\\p{L}\\p{M}\\p{N}] becomes a blank, split at blanks
    whitespace:  lower case (if asked), split at Unicode white space

Lower case is the simple mapping of one code point to one code point, without context: a final sigma is not told apart.
"""
import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int32, Int64

from embeddings.problems import UsageProblem

_BLANKS = {
    "words": r"[^\x00-\x7F\pL\pM\pN]+",
    "whitespace": r"[\x{85}\pZ]+",
}
"""What becomes a blank beyond ASCII, by tokenizer."""


def _ascii_table(tokenizer: str, lower: bool) -> bytes:
    """For bytes.translate: ASCII letters are lowered, ASCII that separates words becomes a blank, newlines stay."""
    table = bytearray(range(256))
    for code in range(128):
        character = chr(code)
        inside = character.isalnum() if tokenizer == "words" else not character.isspace()
        if inside and lower:
            table[code] = ord(character.lower())
        elif not inside and character != "\n":
            table[code] = ord(" ")
    return bytes(table)


_ASCII = {(tokenizer, lower): _ascii_table(tokenizer, lower) for tokenizer in _BLANKS for lower in (False, True)}


@dataclasses.dataclass(frozen=True)
class Words:
    """A tokenizer of words; `tokenizer` is words or whitespace, `lower` folds upper case.

    Raises UsageProblem for another tokenizer.
    """

    tokenizer: str = "words"
    lower: bool = True

    def __post_init__(self):
        if self.tokenizer not in _BLANKS:
            raise UsageProblem(f"--text.tokenizer={self.tokenizer}: there are {' and '.join(_BLANKS)}")

    def split(self, text: str) -> list[str]:
        """The words of a text, in order; newlines are blanks. A surrogate without its partner counts as `?`."""
        return self.lines(text.encode("utf-8", "replace"))[0].to_pylist()

    def offsets(self, text: str) -> Int32[np.ndarray, "N 2"]:
        """Where each word of `split` stands: its first character and the one after its last.

        What stands between two words is in neither, so that a word is where it is found next.
        """
        text, at, found = text.encode("utf-8", "replace").decode(), 0, []
        for word in dataclasses.replace(self, lower=False).split(text):
            first = text.index(word, at)
            at = first + len(word)
            found.append((first, at))
        return np.array(found, np.int32).reshape(-1, 2)

    def lines(self, block: bytes) -> tuple[pa.StringArray, Int64[np.ndarray, "lines_and_end"]]:
        """The words of a block of UTF-8 lines: all words [n], and where in them each line starts, then n.

        Lines end with a newline (the last one may lack it); a line without words starts where the next one does.
        The block is at most 2 GiB of valid UTF-8: it isn't checked again here.
        """
        text = line_array(block.translate(_ASCII[self.tokenizer, self.lower]))
        if not block.isascii():
            text = pc.utf8_lower(text) if self.lower else text
            text = pc.replace_substring_regex(text, _BLANKS[self.tokenizer], " ")
        return _without_empty(pc.ascii_split_whitespace(text))  # the one for UTF-8 errs on some blanks at line ends


def line_array(block: bytes) -> pa.StringArray:
    """The lines of a block, newlines included, as views of its bytes: nothing is copied or checked."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
    if not block.endswith(b"\n") and block:
        ends = np.append(ends, len(block))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))


def _without_empty(split: pa.ListArray) -> tuple[pa.StringArray, np.ndarray]:
    """Flat words and line starts of a list of words a line, less the empty words at blanks that begin or end a line."""
    words = split.flatten()
    starts = split.offsets.to_numpy().astype(np.int64)
    kept = np.diff(np.frombuffer(words.buffers()[1], np.int32, len(words) + 1, 4 * words.offset)) > 0
    before = np.zeros(len(words) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return words.filter(pa.array(kept)), before[starts - starts[0]]
