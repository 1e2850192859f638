"""Articles of a Wikipedia XML dump to plain words: the form in which enwik9 is known as text9 or fil9, text8 its start.

The steps are those that M. Mahoney published with the corpora (http://mattmahoney.net/dc/textdata.html): what a reader
of the page would see is kept, markup is not, digits are spelt, and all but the letters a to z becomes blanks. An
article is a line here, so that no window crosses from one to the next; there it is all one line.
"""
import re
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from embeddings.corpus.streams import PIECE, fill
from embeddings.problems import Problem

LARGEST = 64 << 20
"""Bytes of the largest article that is read."""
_ARTICLE = re.compile(rb"<text (?:[^>]*[^>/])?>(.*?)</text>", re.DOTALL)
_BEGUN = re.compile(rb"<text (?:[^>]*[^>/])?>(?!.*</text>)(.*)", re.DOTALL)
_ASCII = bytes(range(128)) + b" " * 128
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_STEPS = (
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    (r"<ref[^<]*</ref>", ""),  # footnotes
    (r"<[^>]*>", ""),
    (r"\[http:[^\] ]*", "["),  # what is shown of a link elsewhere stays
    (r"(?i)\|thumb", ""),
    (r"(?i)\|left", ""),
    (r"(?i)\|right", ""),
    (r"(?i)\|\d+px", ""),
    (r"(?i)\[\[image:[^\[\]]*\|", ""),  # captions stay
    (r"(?i)\[\[category:([^|\]]*)[^\]]*\]\]", r"[[\1]]"),
    (r"\[\[[a-z\-]*:[^\]]*\]\]", ""),  # the same article in other languages
    (r"\[\[[^|\]]*\|", "[["),  # what is shown of a link to an article stays
    (r"\{\{[^}]*\}\}", ""),
    (r"\{[^}]*\}", ""),
    (r"[\[\]]", ""),
    (r"&[^;]*;", " "),
    *((str(digit), f" {word} ") for digit, word in enumerate(_DIGITS)),
    (r"[^A-Za-z]+", " "),
)


def lines(file: Path, stream: BufferedIOBase) -> Iterator[bytes]:
    """The articles of a dump, a line each, by the piece of about 4 MB of XML; redirections are left out.

    The last article may be cut off. Raises Problem where an article never ends.
    """
    text = b""
    while new := fill(stream, PIECE):
        text += new
        cut = text.rfind(b"</text>") + len(b"</text>")
        if cut >= len(b"</text>"):
            yield clean(_ARTICLE.findall(text, 0, cut))
            text = text[cut:]
        if len(text) > LARGEST:
            raise Problem(f"{file}: an article of more than {LARGEST >> 20} MB; it is no Wikipedia dump")
    yield clean(_BEGUN.findall(text))


def clean(articles: list[bytes]) -> bytes:
    """Articles in wiki markup, as the XML has them, to lines of lower-case words."""
    text = pa.array([article.translate(_ASCII).decode("ascii") for article in articles], pa.string())
    text = text.filter(pc.invert(pc.match_substring(text, "#redirect", ignore_case=True)))
    for pattern, replacement in _STEPS:
        text = pc.replace_substring_regex(text, pattern, replacement)
    return "".join(f"{line.strip()}\n" for line in pc.ascii_lower(text).to_pylist()).encode()
