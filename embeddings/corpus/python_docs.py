"""The embedded corpus: documentation of Python's standard library and of the packages that this one depends on.

Real text on every machine with no download: source files are parsed, never imported, and what they say about
modules, classes and functions becomes one record each,

    {"package", "module", "name", "summary", "body"}

as a line of JSON: summary is the first paragraph on one line, body the rest as it stands in the source less its
indentation. Records come in the order of PACKAGES, files by path, definitions as they stand in the file, so the same
versions give the same bytes. A record is left out when most of its runs of five words stood in earlier records
(jax.numpy repeats numpy, scipy repeats parameters): w-shingling as Broder (1997), "On the resemblance and containment
of documents", with containment in everything kept so far instead of resemblance to one document.
"""
import ast
import collections
import gc
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import platform
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt64

from embeddings import files
from embeddings.problems import Problem

PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "jax": "jax",
    "flax": "flax",
    "optax": "optax",
    "orbax": "orbax-checkpoint",
    "absl": "absl-py",
}
"""Packages read after the standard library, and the distribution that each comes in."""

LEFT_OUT = frozenset(("test", "tests", "idlelib", "lib2to3", "turtledemo"))
"""Folders that document no interface; those whose names are no identifiers (site-packages) are left out too."""

SHINGLE = 5
"""Words a shingle."""
REPEATED = 0.7
"""Share of a record's shingles seen before from which on it is a near-duplicate."""

_WORD = re.compile(r"[^\W_]+")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)( *-> *.+)?", re.DOTALL)
_TEXT_SIGNATURE = re.compile(r"\A\w+\([^\n]*\)\n--\n\n")
_RULE = re.compile(r"[^\w\s]{3,}")
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_BRANCHES = (ast.If, ast.Try, ast.ExceptHandler, ast.With, ast.For)


class Record(NamedTuple):
    """One documented thing."""

    package: str
    """`python` for the standard library, else a key of PACKAGES."""
    module: str
    """Dotted name of the module that the text stands in."""
    name: str
    """Dotted name of what is documented: the module, or something in it."""
    summary: str
    """First paragraph, on one line."""
    body: str
    """Paragraphs that follow; may be empty."""


def versions() -> dict[str, str]:
    """What decides the content: the version of Python and of every package read. Problem if one isn't installed."""
    found = {"python": platform.python_version()}
    for package, distribution in PACKAGES.items():
        try:
            found[package] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise Problem(f"corpus python_docs needs the package {distribution}: pip install {distribution}") from None
    return found


def collect(cache: Path, progress: Callable[[str, int, int], None] | None = None) -> Path:
    """The corpus as `python_docs-HASH.jsonl` in the folder `cache`, made there unless these versions made it before.

    `progress` is called with what is done, files done, files in all. HASH begins the fingerprint. Beside it,
    `python_docs-KEY.json` (KEY is of the versions) records file, sha256, versions, and records and words by package.
    Raises Problem where a package or the folder is missing.
    """
    made_by = versions() | {"collector": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}
    key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
    sidecar = cache / f"python_docs-{key}.json"
    try:
        known = json.loads(sidecar.read_bytes())
        if fingerprint(cache / known["file"]) == known["sha256"]:
            return cache / known["file"]
    except (OSError, ValueError):
        pass
    broken: list[str] = []
    gc.disable()  # trees of syntax hold no cycles, and looking for some is a quarter of the time
    try:
        kept = list(distinct(records(broken, progress)))
    finally:
        gc.enable()
    text = "".join(json.dumps(record._asdict(), ensure_ascii=False) + "\n" for record in kept)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    path = cache / f"python_docs-{sha256[:16]}.jsonl"
    count = {"records": collections.Counter(), "words": collections.Counter()}
    for record in kept:
        count["records"][record.package] += 1
        count["words"][record.package] += len(words(record))
    facts = {"file": path.name, "sha256": sha256, "versions": made_by, **count, "unreadable": broken}
    try:
        cache.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, text)
        files.write_whole(sidecar, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        why = f"the corpus cannot be written there: {error.strerror}"
        raise Problem(f"{cache}: {why}; free space or set EMBEDDINGS_CACHE to another folder") from None
    return path


def fingerprint(path: Path) -> str:
    """What names the content: SHA-256 of the file's bytes, in hexadecimal."""
    return files.sha256(path)


def words(record: Record) -> list[str]:
    """Runs of letters and digits of summary and body, in lower case."""
    return _WORD.findall(f"{record.summary}\n{record.body}".lower())


def records(broken: list[str], progress: Callable[[str, int, int], None] | None = None) -> Iterator[Record]:
    """Every documented thing of every package; names of files that no parser takes are added to `broken`."""
    # Doctests and private definitions stay: word vectors trained without either scored no better on the analogies.
    sources = list(_files())
    for done, (package, file, module) in enumerate(sources, 1):
        if progress:
            progress("collecting Python's documentation", done, len(sources))
        try:
            with warnings.catch_warnings():  # what other people's sources are warned of is not our reader's concern
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            broken.append(f"{package}: {module}")
            continue
        for name, text in documented(tree, module):
            summary, body = paragraphs(text)
            if _WORD.search(summary):
                yield Record(package, module, name, summary, body)


def _files() -> Iterator[tuple[str, Path, str]]:
    """(package, file, module) of all sources, in an order that does not depend on the file system."""
    roots = [("python", "", sysconfig.get_path("stdlib"))]
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise Problem(f"corpus python_docs finds no sources of {package}: pip install {PACKAGES[package]}")
        roots += [(package, package, folder) for folder in dict.fromkeys(spec.submodule_search_locations)]
    for package, prefix, folder in roots:
        found = []
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name.isidentifier() and name not in LEFT_OUT]
            found += [Path(parent, name) for name in names if name.endswith(".py")]
        modules = {file: file.relative_to(folder).with_suffix("").parts for file in found}
        for file, parts in sorted(modules.items(), key=lambda item: item[1]):
            if not re.match(r"test_|.*_test$|conftest$", parts[-1]):
                dotted = ".".join((prefix, *parts)).removesuffix(".__init__").strip(".")
                yield package, file, dotted


def documented(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """(dotted name, text) of a parsed module: docstrings, NumPy's add_newdoc calls, `__doc__ = ...`, help topics."""
    yield from _docstrings(tree, module)
    for node in tree.body:
        match node:
            case ast.Expr(ast.Call(ast.Name("add_newdoc"), arguments)):
                yield from _add_newdoc(module, arguments)
            case ast.Expr(ast.Call(ast.Name("_array_method_doc"), [ast.Constant(name), _, ast.Constant(str(text))])):
                yield f"{module}.ndarray.{name}", text
            case ast.Assign([ast.Name("__doc__")], ast.Constant(str(text))):
                yield module, text
            case ast.Assign([ast.Name("topics")], ast.Dict(keys, values)) if module == "pydoc_data.topics":
                for pair in zip(keys, values, strict=True):
                    match pair:
                        case ast.Constant(str(name)), ast.Constant(str(text)):
                            yield f"{module}.{name}", text


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """Docstrings of a module, class or function and of what is defined directly in it, whatever the condition."""
    if not isinstance(node, _BRANCHES):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            yield from _docstrings(child, f"{name}.{child.name}")
        elif isinstance(child, _BRANCHES):
            yield from _docstrings(child, name)


def _add_newdoc(module: str, arguments: list[ast.expr]) -> Iterator[tuple[str, str]]:
    """Text of C functions: add_newdoc([place,] name, text | (member, text) | [(member, text), ...])."""
    try:
        *names, text = map(ast.literal_eval, arguments)
    except ValueError:  # a text that is put together when the module runs
        return
    if len(names) == 1:
        names = [module, *names]
    for part in text if isinstance(text, list) else [text]:
        match part:
            case str():
                yield ".".join(names), part
            case (str(member), str(about)):
                yield ".".join((*names, member)), about


def paragraphs(text: str) -> tuple[str, str]:
    """(summary, body) of a documentation string; a call signature that leads it goes to the body."""
    text = text.encode("utf-8", "replace").decode()  # an escape may stand for half a surrogate pair
    text = _TEXT_SIGNATURE.sub("", inspect.cleandoc(text))
    first, *rest = re.split(r"\n\s*\n", text.strip(), maxsplit=1)
    signature = ""
    if rest and _SIGNATURE.fullmatch(first.strip()):
        signature = first + "\n\n"
        first, *rest = re.split(r"\n\s*\n", rest[0], maxsplit=1)
    summary = " ".join(line for line in first.split("\n") if not _RULE.fullmatch(line.strip()))
    return " ".join(summary.split()), (signature + "".join(rest)).strip()


def distinct(found: Iterable[Record]) -> Iterator[Record]:
    """Records in order without near-duplicates: those with at least REPEATED of their shingles in records kept."""
    found = list(found)
    if not found:
        return
    numbers: dict[str, int] = {}
    rows = [_shingles([numbers.setdefault(word, len(numbers) + 1) for word in words(record)]) for record in found]
    _, which = np.unique(np.concatenate(rows), return_inverse=True)
    seen = np.zeros(which.max() + 1, bool)
    for record, row in zip(found, np.split(which, np.cumsum([len(row) for row in rows])[:-1]), strict=True):
        if seen[row].mean() < REPEATED:
            seen[row] = True
            yield record


def _shingles(numbers: list[int]) -> UInt64[np.ndarray, "S"]:
    """A 64-bit hash of each run of SHINGLE word numbers; a single one for a text that is shorter."""
    padded = np.array(numbers + [0] * (SHINGLE - len(numbers)), np.uint64)
    powers = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, SHINGLE + 1)], np.uint64)
    return np.lib.stride_tricks.sliding_window_view(padded, SHINGLE) @ powers
