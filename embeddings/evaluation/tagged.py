"""Words of sentences and a tag for each, from files: named entities and parts of speech.

    WNUT17       entities (Derczynski et al. 2017)
    CoNLL-2003   entities (Tjong Kim Sang and De Meulder 2003)
    PTB          parts of speech of the Penn Treebank's Wall Street Journal (Marcus et al. 1993): sections 0 to 18 are
                 the training part, 19 to 21 the development part, 22 to 24 the test part, as is usual
"""
import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from embeddings.evaluation import reading
from embeddings.problems import Problem

SETS = {
    "WNUT17": tuple(Path("ner/wnut17") / name
                    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")),
    "CoNLL-2003": tuple(Path("ner/conll2003") / name for name in ("train.txt", "valid.txt", "test.txt")),
    "PTB": tuple(Path("pos/ptb") / name for name in ("train.mrg", "valid.mrg", "test.mrg")),
}
"""Training, development and test part, in a folder of data sets; in the place of a .mrg a .txt may stand."""
WHAT = "tagged words"
DOCUMENT = "-DOCSTART-"
TREES = ".mrg"
_ENTITY = re.compile(r"O|[BI]-\S+")
_TAG = re.compile(r"(?![BI]-$)\S+")
_NOTHING = "-NONE-"
"""The tag of what stands in a tree for a word that was not said."""
_LEAF = re.compile(r"\(([^\s()]+)\s+([^\s()]+)\s*\)|[()]")


@dataclasses.dataclass(frozen=True, eq=False)
class Tagged:
    """Sentences, and a tag for every word."""

    name: str
    sentences: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]

    @functools.cached_property
    def different(self) -> frozenset[str]:
        """The tags that there are."""
        return frozenset(tag for tags in self.tags for tag in tags)

    @property
    def of_entities(self) -> bool:
        """Whether tags mark entities, O, B-TYPE and I-TYPE, and not each word by itself."""
        return all(map(_ENTITY.fullmatch, self.different))


def find(data: Path) -> tuple[str, ...]:
    """The sets that are whole in a folder of data sets."""
    return tuple(name for name, parts in SETS.items() if all(_place(data / path).is_file() for path in parts))


def read(data: Path, name: str = "WNUT17") -> tuple[Tagged, Tagged, Tagged]:
    """The training, development and test part of a set. Raises Problem with file and line."""
    train, valid, test = (read_file(_place(data / path), name) for path in SETS[name])
    return train, valid, test


def _place(path: Path) -> Path:
    text = path.with_suffix(".txt")
    return text if path.suffix == TREES and not path.is_file() and text.is_file() else path


def read_file(path: Path, name: str) -> Tagged:
    """A file of any kind that is known here. Raises Problem with file and line."""
    return trees(path, name) if path.suffix == TREES else conll(path, name)


def conll(path: Path, name: str) -> Tagged:
    """Lines of a word and its tag by a tab, or of columns by blanks, the first the word, the last its tag.

    Blank lines part sentences; lines that begin a document (-DOCSTART-) are left out. Raises Problem with file and
    line, for a tag of no entity among those of entities too.
    """
    found: list[list[tuple[str, str]]] = []
    entity, odd = False, 0
    for block in reading.blocks(path, WHAT):
        words = []
        for number, line in block:
            word, parted, tag = line.partition("\t") if "\t" in line else _ends(line)
            if not parted or not word.strip() or not _TAG.fullmatch(tag):
                raise Problem(f"{path}:{number}: expected a word, a tab and its tag (of entities O, B-TYPE or I-TYPE): "
                              "correct the line")
            if word != DOCUMENT:
                words.append((word, tag))
                entity = entity or tag[:2] in ("B-", "I-")
                odd = odd or (0 if _ENTITY.fullmatch(tag) else number)
        found += [words] if words else []
    if not found:
        raise Problem(f"{path}: holds no sentences: copy it again")
    if entity and odd:
        raise Problem(f"{path}:{odd}: expected O, B-TYPE or I-TYPE, as other lines have: correct the line")
    return _of(name, found)


def _of(name: str, sentences: Sequence[Sequence[tuple[str, str]]]) -> Tagged:
    """From words with their tags."""
    words, tags = (tuple(tuple(pair[n] for pair in some) for some in sentences) for n in (0, 1))
    return Tagged(name, words, tags)


def _ends(line: str) -> tuple[str, bool, str]:
    """The first and the last of columns, and whether there are two."""
    columns = line.split()
    return columns[0], len(columns) > 1, columns[-1]


def trees(path: Path, name: str) -> Tagged:
    """The words of a treebank's trees, as `( (S (NP (NNP Ada)) (VP (VBD lived)) (. .)) )`, a tree a sentence.

    Words and tags as they stand there, -LRB- for a bracket; what was not said is left out. Raises Problem for brackets
    that do not close.
    """
    sentences, words, depth = [], [], 0
    for found in _LEAF.finditer(reading.text(path, WHAT)):
        if found[1]:
            words += [(found[2], found[1])] if found[1] != _NOTHING else []
            continue
        depth += 1 if found[0] == "(" else -1
        if depth < 0:
            break
        if depth == 0 and words:
            sentences.append(words)
            words = []
    if depth or words:
        raise Problem(f"{path}: tree {len(sentences) + 1} does not close its brackets: copy it again")
    if not sentences:
        raise Problem(f"{path}: holds no trees: copy it again")
    return _of(name, sentences)


def accuracy(gold: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]) -> float:
    """The share of all words whose tag is the right one.

    Raises ValueError where a sentence has another number of tags.
    """
    right = [a == b for one, other in zip(gold, guessed, strict=True) for a, b in zip(one, other, strict=True)]
    return sum(right) / len(right)
