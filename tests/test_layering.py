"""Imports go only backwards along the road that a text takes."""
import ast
import pathlib

import pytest

import embeddings

ROAD = [
    ("problems", "files", "spelling", "screen", "prefetch"),
    ("fields",),
    ("flagfile",),
    ("flags",),
    ("parts",),
    ("experiment",),
    ("tokenizers",),
    ("corpus",),
    ("inputs",),
    ("models",),
    ("formats", "sif"),
    ("objectives",),
    ("training",),
    ("similarity",),
    ("contextual",),
    ("encoder",),
    ("mining",),
    ("evaluation",),
    ("heads",),
    ("provenance",),
    ("reproduction",),
    ("levels",),
    ("session",),
    ("manual",),
    ("command",),
    ("train", "encode", "evaluate", "mine", "ablate", "neighbours", "export", "plan", "reproduce"),
]
PLACE = {name: place for place, names in enumerate(ROAD) for name in names}
PACKAGE = pathlib.Path(embeddings.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(file: pathlib.Path) -> set[str]:
    """First names below `embeddings` that a file imports, at its top or inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("embeddings.")}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_backwards(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the front door opens on what it names
    assert room in PLACE, f"{room} has no place on the road"
    forward = {name for name in imported(file) if PLACE[name] > PLACE[room]}
    assert not forward, f"{file.name} imports {forward} from further along the road"


def test_the_library_reads_no_flags_clocks_or_environment():
    commands = set(ROAD[-1]) | {"command"}
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0].removesuffix(".py") not in commands:
            text = file.read_text()
            for word in ("os.environ", "getenv", "time.time(", "time.monotonic(", "perf_counter(", "flags.FLAGS"):
                assert word not in text, f"{file} reads {word}"
