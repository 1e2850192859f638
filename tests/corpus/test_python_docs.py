"""The embedded corpus is collected without imports, the same twice, and its analogy questions are about its words."""
import ast
import collections
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import embeddings
from embeddings.corpus import python_docs
from embeddings.problems import Problem

QUESTIONS = Path(embeddings.__file__).parent / "evaluation" / "python_docs.txt"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return python_docs.collect(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def records(corpus) -> list[python_docs.Record]:
    return [python_docs.Record(**json.loads(line)) for line in corpus.read_text("utf-8").splitlines()]


def record(text: str, name: str = "m.f") -> python_docs.Record:
    return python_docs.Record("p", "m", name, *python_docs.paragraphs(text))


def test_name_and_sidecar_tell_the_content(corpus, records):
    sha256 = python_docs.fingerprint(corpus)
    assert corpus.name == f"python_docs-{sha256[:16]}.jsonl"
    (sidecar,) = corpus.parent.glob("*.json")
    facts = json.loads(sidecar.read_text())
    assert facts["file"] == corpus.name and facts["sha256"] == sha256
    assert facts["versions"]["python"] == sys.version.split()[0]
    assert facts["records"] == collections.Counter(r.package for r in records)
    assert facts["words"]["jax"] == sum(len(python_docs.words(r)) for r in records if r.package == "jax")
    assert sorted(p.name for p in corpus.parent.iterdir()) == sorted([corpus.name, sidecar.name])


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A standard library of a few files, and no packages: collecting it takes no time."""
    for name, text in {
        "b.py": b'"""Bee."""\nx = "\\d"', "a/__init__.py": b'"""Package."""', "broken.py": b"print 'old'",
        "a/z.py": b'# coding: latin-1\n"""caf\xe9"""', "zero.py": b"\0", "bytes.py": b'"""\xff"""',
        "tests/x.py": b'"""Test."""', "test_b.py": b'"""Test."""', "site-packages/y.py": b'"""Other."""', "b.txt": b"",
    }.items():  # fmt: skip
        (tmp_path / "stdlib" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "stdlib" / name).write_bytes(text)
    monkeypatch.setattr(python_docs.sysconfig, "get_path", lambda name: str(tmp_path / "stdlib"))
    monkeypatch.setattr(python_docs, "PACKAGES", {})
    return tmp_path


def test_a_second_call_reads_nothing_and_a_damaged_file_is_made_again(small, monkeypatch):
    path = python_docs.collect(small / "cache")
    whole = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(python_docs, "records", lambda broken: pytest.fail("collected again"))
        assert python_docs.collect(small / "cache") == path
    path.write_bytes(whole[:20])
    assert python_docs.collect(small / "cache") == path and path.read_bytes() == whole
    monkeypatch.setattr(python_docs.platform, "python_version", lambda: "9.9.9")
    (small / "stdlib" / "new.py").write_text('"""Something new."""')
    assert python_docs.collect(small / "cache") != path, "other versions are collected anew"


def test_files_that_do_not_parse_are_named_and_order_is_by_module(small):
    broken: list[str] = []
    found = [(r.name, r.summary) for r in python_docs.records(broken)]
    assert found == [("a", "Package."), ("a.z", "café"), ("b", "Bee.")]
    assert broken == ["python: broken", "python: bytes", "python: zero"]


def test_records_are_real_text_of_every_package(records):
    counts = collections.Counter()
    for r in records:
        counts[r.package] += len(python_docs.words(r))
        assert r.name.startswith(r.module) or r.package in ("numpy", "scipy"), r
        assert r.summary and "\n" not in r.summary and r.summary == r.summary.strip() and r.body == r.body.strip()
    assert list(counts) == ["python", *python_docs.PACKAGES], "packages stand in their stated order"
    assert 1_300_000 < counts.total() < 3_000_000 and min(counts.values()) > 5_000
    by_name = {r.name: r for r in records}
    assert by_name["textwrap.dedent"].summary == "Remove any common leading whitespace from every line in `text`."
    assert by_name["numpy._core.multiarray.empty"].body.startswith("empty(shape"), "text of a C function"
    assert "bitwise" in by_name["pydoc_data.topics.bitwise"].body.lower()
    assert not any(re.search(r"\btests?\b|site-packages|idlelib", r.module) for r in records)


def test_nothing_is_imported(small):
    code = f"""if True:
        import pathlib, sys
        from embeddings.corpus import python_docs
        python_docs.PACKAGES = {{"optax": "optax", "absl": "absl-py"}}
        python_docs.sysconfig.get_path = lambda name: {str(small / "stdlib")!r}
        print(python_docs.collect(pathlib.Path({str(small)!r})).stat().st_size > 100_000)
        print(sorted({{"a", "b", "jax", "optax", "absl"}} & set(sys.modules)))
    """
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=QUESTIONS.parents[2])
    assert (done.stdout, done.stderr) == ("True\n[]\n", "")


def test_no_record_repeats_the_others(records):
    """The definition with sets of words, beside the hashes that the corpus is made with."""
    seen, repeated = set(), []
    for r in records:
        row = python_docs.words(r)
        row += [""] * (python_docs.SHINGLE - len(row))
        runs = [tuple(row[i : i + python_docs.SHINGLE]) for i in range(len(row) - python_docs.SHINGLE + 1)]
        if sum(run in seen for run in runs) >= python_docs.REPEATED * len(runs):
            repeated.append(r.name)
        seen.update(runs)
    assert repeated == []


def test_near_duplicates_leave_and_the_first_stays():
    text = """The matrix product of two arrays whose inner dimensions agree, as a new array of the common type.

    Vectors are taken for matrices of one row on the left and of one column on the right; that axis is gone again
    from the result."""
    other = "Waits until the other side has closed its end of the pipe, then returns what was left in it."
    found = [record(text, "first"), record(other), record(text.replace("new", "fresh"), "near"), record(text)]
    assert [r.name for r in python_docs.distinct(found)] == ["first", "m.f"]
    short = [record("Close it."), record("close it"), record("Close it now.")]
    assert list(python_docs.distinct(short)) == [short[0], short[2]]
    assert list(python_docs.distinct([])) == []


@pytest.mark.parametrize(
    ("text", "summary", "body"),
    [
        ("One.", "One.", ""),
        ("One\n    line.\n\n    More.\n      Deep.\n    ", "One line.", "More.\n  Deep."),
        ("f(x, *,\n  y=1) -> int\n\nWhat it does.\n\nMore.", "What it does.", "f(x, *,\n  y=1) -> int\n\nMore."),
        ("f(x)", "f(x)", ""),
        ("copy($self, /)\n--\n\nA copy.", "A copy.", ""),
        ("=====\nTitle\n=====\n\nText.", "Title", "Text."),
        ("\n", "", ""),
        ("half \ud800 pair", "half ? pair", ""),
    ],
)
def test_paragraphs(text, summary, body):
    assert python_docs.paragraphs(text) == (summary, body)


def test_what_counts_as_documentation():
    source = '''
"""Module."""
def f():
    """F."""
    def inner():
        """Not reachable."""
class C:
    """C."""
    x: int = 0
    "not a docstring"
    async def m(self):
        """M."""
    if True:
        def g(self): "G."
try:
    pass
except ImportError:
    def h(): "H."
add_newdoc("place", "c", """C text.""")
add_newdoc("place", "c", ("member", "Member."))
add_newdoc("place", "c", [("one", "1."), ("two", "2.")])
add_newdoc("bare", "Bare.")
add_newdoc("made", "at " + run_time)
_array_method_doc("all", "axis", "All.")
C.__doc__ = "not a name"
__doc__ = "Again."
topics = {"no": "help file"}
'''
    found = list(python_docs.documented(ast.parse(source), "m"))
    assert found == [
        ("m", "Module."), ("m.f", "F."), ("m.f.inner", "Not reachable."), ("m.C", "C."), ("m.C.m", "M."),
        ("m.C.g", "G."), ("m.h", "H."), ("place.c", "C text."), ("place.c.member", "Member."), ("place.c.one", "1."),
        ("place.c.two", "2."), ("m.bare", "Bare."), ("m.ndarray.all", "All."), ("m", "Again."),
    ]  # fmt: skip
    topics = ast.parse('topics = {"if": "The if statement", 1: "", **more}')
    assert list(python_docs.documented(topics, "pydoc_data.topics")) == [("pydoc_data.topics.if", "The if statement")]


def test_problems_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(python_docs, "records", lambda broken, progress: iter([record("Some words.")]))
    with pytest.raises(Problem, match=r"^.*file: the corpus cannot be written there: .*$"):
        python_docs.collect(tmp_path / "file")
    monkeypatch.setitem(python_docs.PACKAGES, "nosuchpackage", "no-such-package")
    with pytest.raises(Problem, match=r"^corpus python_docs needs the package no-such-package: pip install"):
        python_docs.collect(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_analogy_questions_are_well_formed_and_in_the_vocabulary(records):
    lines = QUESTIONS.read_text("utf-8").splitlines()
    categories = [line[2:] for line in lines if line.startswith(": ")]
    questions = [tuple(line.split(" ")) for line in lines if not line.startswith(":")]
    assert lines[0] == f": {categories[0]}" and len(categories) == len(set(categories)) >= 10
    assert all(re.fullmatch(r"[a-z][a-z-]*", category) for category in categories)
    assert 300 <= len(questions) <= 600 and len(questions) == len(set(questions))
    assert all(len(question) == 4 == len(set(question)) for question in questions)
    assert all(re.fullmatch(r"[a-z0-9]+", word) for question in questions for word in question)
    counts = collections.Counter(word for r in records for word in python_docs.words(r))
    missing = [question for question in questions if min(counts[word] for word in question) < 5]
    assert len(missing) < 0.02 * len(questions), missing
