"""Sets of labelled texts: what classification and clustering are measured on.

    Banking77       intents of a bank's customers; training and test parts
    AG News         title and description of news in four sections; the test part alone
    MR CR SUBJ MPQA binary sets of SentEval, in one part; SST2, SST5 in three; TREC, by its six coarse types, in two
    20 Newsgroups   the test part by date, latin-1: either the subjects, as MTEB clusters them, or the messages

TREC's training part is latin-1 and its test part ASCII; both lack quotation marks, as SentEval prepares them.
"""
import csv
import dataclasses
import io
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from embeddings.evaluation import reading
from embeddings.problems import Problem

FOLDER = Path("classification")
WHAT = "labelled texts"
NEWSGROUPS = "20news-bydate-test.tar.xz"
_MESSAGE = re.compile(r"(?:.*/)?([a-z]+(?:\.[a-z-]+)+)/\d+")
_SUBJECT = re.compile(r"^Subject:[ \t]*(?:Re:[ \t]*)*(.*)$", re.MULTILINE | re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Texts and a label each."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledSet:
    """A set in its published parts."""

    name: str
    train: Labelled | None
    """None where the test part alone is at hand."""
    test: Labelled | None
    """None where the set has one part, which is for cross-validation."""
    valid: Labelled | None = None


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a set is below FOLDER, and how it is read."""

    files: tuple[str, ...]
    read: Callable[[str, Sequence[Path]], LabelledSet]


def find(data: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Which of these sets are in a folder of data sets."""
    return tuple(name for name in names if all((data / FOLDER / file).is_file() for file in SOURCES[name].files))


def read(data: Path, name: str) -> LabelledSet:
    """A set by its name in SOURCES. Raises Problem with file and line."""
    source = SOURCES[name]
    return source.read(name, [data / FOLDER / file for file in source.files])


def parted(one: LabelledSet) -> LabelledSet:
    """The set with a training and a test part; of a set in one part, every tenth text is the test's."""
    if one.test is not None or one.train is None:
        return one
    texts, labels = one.train.texts, one.train.labels
    rest = [n for n in range(len(texts)) if n % 10]
    train = Labelled(tuple(texts[n] for n in rest), tuple(labels[n] for n in rest))
    return dataclasses.replace(one, train=train, test=Labelled(texts[::10], labels[::10]))


def labelled(path: Path, rows: Sequence[tuple[str, str]]) -> Labelled:
    """Rows of text and label. Raises Problem where there are fewer than two labels."""
    if len({label for _, label in rows}) < 2:
        raise Problem(f"{path}: holds texts of fewer than two labels: copy it again")
    texts, labels = zip(*rows, strict=True)
    return Labelled(texts, labels)


def _file_a_label(name: str, paths: Sequence[Path]) -> LabelledSet:
    """A sentence a line; the label is the end of the file's name, .gz aside."""
    rows = [(line.strip(), path.with_suffix("").suffix[1:]) for path in paths for line in reading.lines(path, WHAT)]
    return LabelledSet(name, labelled(paths[0], rows), None)


def _matched(path: Path, pattern: str, expected: str, encoding: str = "utf-8") -> Labelled:
    """Lines whose named groups are text and label."""
    rows = []
    for number, line in enumerate(reading.lines(path, WHAT, encoding), 1):
        found = re.fullmatch(pattern, line)
        if not found:
            raise Problem(f"{path}:{number}: expected {expected}: correct the line")
        rows.append((found["text"].strip(), found["label"]))
    return labelled(path, rows)


def _sst2(name: str, paths: Sequence[Path]) -> LabelledSet:
    train, valid, test = (_matched(path, r"(?P<text>[^\t]+)\t(?P<label>[01])", "a sentence, a tab and 0 or 1")
                          for path in paths)
    return LabelledSet(name, train, test, valid)


def _sst5(name: str, paths: Sequence[Path]) -> LabelledSet:
    train, valid, test = (_matched(path, r"(?P<label>[0-4]) (?P<text>.+)", "0 to 4, a blank and a sentence")
                          for path in paths)
    return LabelledSet(name, train, test, valid)


def _trec(name: str, paths: Sequence[Path]) -> LabelledSet:
    expected = "COARSE:fine and a question"
    train, test = (_matched(path, r"(?P<label>[A-Z]+):\w+ (?P<text>.+)", expected, "latin-1") for path in paths)
    return LabelledSet(name, train, test)


def _banking(name: str, paths: Sequence[Path]) -> LabelledSet:
    train, test = (labelled(path, [row for _, row in reading.records(path, ("text", "category"), WHAT)])
                   for path in paths)
    return LabelledSet(name, train, test)


def _ag_news(name: str, paths: Sequence[Path]) -> LabelledSet:
    """Lines of a section from 1, a title and a description, without a header; the text is title, blank, description."""
    path, rows = paths[0], []
    lines = csv.reader(io.StringIO(reading.text(path, WHAT), newline=""), strict=True)
    try:
        for label, title, description in lines:
            rows.append((f"{title} {description}", label))
    except (ValueError, csv.Error):
        raise Problem(f"{path}:{lines.line_num}: expected a section, a title and a description") from None
    return LabelledSet(name, None, labelled(path, rows))


def _newsgroups(part: Callable[[str], str]) -> Callable[[str, Sequence[Path]], LabelledSet]:
    """Reads messages, each a file of the archive in a folder that is its label; those without a text are left out."""

    def read(name: str, paths: Sequence[Path]) -> LabelledSet:
        rows = []
        try:
            with tarfile.open(paths[0]) as archive:
                for member in archive:
                    group = _MESSAGE.fullmatch(member.name)
                    if group and member.isfile():
                        text = part(archive.extractfile(member).read().decode("latin-1")).strip()
                        rows += [(text, group[1])] if text else []
        except (*reading.BROKEN, tarfile.TarError) as error:
            raise Problem(f"{paths[0]}: no archive of messages ({type(error).__name__}): copy it again") from None
        return LabelledSet(name, None, labelled(paths[0], rows))

    return read


def subject(message: str) -> str:
    """The first line of a message's subject, without Re:."""
    found = _SUBJECT.search(message.partition("\n\n")[0])
    return found[1] if found else ""


def body(message: str) -> str:
    """What stands below a message's header, which would tell the group."""
    return message.partition("\n\n")[2]


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/sentiment-{part}.tsv.gz" for part in ("train", "dev", "test"))


SOURCES = {
    "Banking77": _Source(("banking77/train.csv", "banking77/test.csv"), _banking),
    "AG News": _Source(("ag_news/test.csv",), _ag_news),
    "MR": _Source(("senteval/MR/rt-polarity.pos.gz", "senteval/MR/rt-polarity.neg.gz"), _file_a_label),
    "CR": _Source(("senteval/CR/custrev.pos.gz", "senteval/CR/custrev.neg.gz"), _file_a_label),
    "SUBJ": _Source(("senteval/SUBJ/subj.objective.gz", "senteval/SUBJ/subj.subjective.gz"), _file_a_label),
    "MPQA": _Source(("senteval/MPQA/mpqa.pos.gz", "senteval/MPQA/mpqa.neg.gz"), _file_a_label),
    "SST2": _Source(_parts("sst2"), _sst2),
    "SST5": _Source(_parts("sst5"), _sst5),
    "TREC": _Source(("senteval/TREC/train_5500.label.gz", "senteval/TREC/TREC_10.label.gz"), _trec),
    "20 Newsgroups subjects": _Source((NEWSGROUPS,), _newsgroups(subject)),
    "20 Newsgroups messages": _Source((NEWSGROUPS,), _newsgroups(body)),
}
