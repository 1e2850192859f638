"""The door of every command, mostly as a person meets it: in a process of its own."""
import errno
import importlib
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embeddings import command, fields, manual
from embeddings.experiment import Experiment
from embeddings.problems import Preempted, Problem, UsageProblem

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(path.stem for path in (ROOT / "embeddings").glob("*.py") if "command.run(" in path.read_text())

TOY = '''"""Does as its word says.

    python -m toy.door --seed=1 WORD
"""
import errno, os, sys, time
from embeddings import command, problems
from embeddings.experiment import Experiment

def main(settings, words, given):
    """Does it."""
    errors = {
        "problem": problems.Problem("the first line\\nthe second"), "usage": problems.UsageProblem("not so"),
        "preempted": problems.Preempted("saved; the same command goes on"),
        "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "readonly": OSError(errno.EROFS, "x", "/run/x"),
        "memory": MemoryError(), "bug": RuntimeError("a bug"), "lost": FileNotFoundError(errno.ENOENT, "x", "/run/x"),
        "interrupt": KeyboardInterrupt(),
    }
    for word in words:
        if word in errors:
            raise errors[word]
        if word == "sleep":
            print("asleep", flush=True)
            time.sleep(60)
        if word == "flood":
            while True:
                print("water " * 100)
    print(settings.seed, words, sorted(given))

if __name__ == "__main__":
    command.run(main, Experiment, "WORD...")
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a command that fails as it is told to."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy").mkdir()
    (folder / "toy/door.py").write_text(TOY)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "COLUMNS": "90"}


def run(folder: Path, *arguments: str, **options):
    """Exit code, standard output and standard error of the toy."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run([sys.executable, "-m", "toy.door", *arguments], cwd=folder, env=environment(folder),
                          text=True, timeout=60, **pipes)
    return done.returncode, done.stdout, done.stderr


def test_a_command_gets_what_was_asked_for(toy):
    assert run(toy, "--seed=3", "a", "-", "b") == (0, "3 ['a', '-', 'b'] ['seed']\n", "")


@pytest.mark.parametrize(("word", "code", "line"), [
    ("problem", 1, "door: the first line the second"),
    ("usage", 2, "door: not so"),
    ("preempted", 75, "door: saved; the same command goes on"),
    ("full", 1, "door: No space left on device; free some space, or choose another folder"),
    ("readonly", 1, "door: /run/x: Read-only file system; choose another folder, or have it made writable"),
    ("memory", 1, "door: not enough memory; choose smaller sizes, or a larger machine"),
    ("--sed=1", 2, "door: there is no flag --sed; did you mean --seed? (--help lists all)"),
    ("--seed=x", 2, "door: --seed=x: a whole number is needed"),
])
def test_what_a_person_can_mend_is_one_line_and_an_exit_code(toy, word, code, line):
    assert run(toy, word) == (code, "", line + "\n")


@pytest.mark.parametrize("word", ["bug", "lost"])
def test_our_own_mistakes_keep_their_traceback(toy, word):
    code, _, error = run(toy, word)
    assert code == 1
    assert error.startswith("Traceback")


def test_an_interrupt_leaves_quietly(toy):
    assert run(toy, "interrupt") == (130, "", "")
    with subprocess.Popen([sys.executable, "-m", "toy.door", "sleep"], cwd=toy, env=environment(toy),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""


@pytest.mark.parametrize("arguments", [["flood"], ["--help"]])
def test_a_reader_that_goes_away_is_no_news(toy, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(toy, *arguments, stdout=writer) == (141, None, "")
    finally:
        os.close(writer)


def test_a_full_disk_under_the_output_is_one_line(toy):
    with open("/dev/full", "w") as full:
        code, _, error = run(toy, "flood", stdout=full)
        assert (code, error.count("\n")) == (1, 1)
        assert error.startswith("door: No space left on device")


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_comes_whatever_else_is_asked(toy, flag):
    code, text, error = run(toy, "--sed=1", flag)
    assert (code, error) == (0, "")
    assert text.startswith("usage: python -m toy.door [--flagfile=FILE] [--flag=value ...] WORD...\n\nDoes as its word")
    assert "    python -m toy.door --seed=1 WORD\n" in text
    assert max(map(len, text.splitlines())) <= 90


def test_help_after_two_dashes_is_a_word(toy):
    assert run(toy, "--", "--help")[:2] == (0, "0 ['--help'] []\n")


@pytest.mark.parametrize("width", [60, 79, 80, 120])
def test_help_is_grouped_by_part_and_fits(width):
    text = manual.manual(Experiment, "python -m x", "What it does.", None, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    heads = [line.partition(":")[0] for line in lines if re.match(r"[a-z0-9_]+: [A-Z]", line) and "usage" not in line]
    assert heads == list(fields.parts(Experiment))
    for field in fields.leaves(Experiment):
        assert f"  --{field.name}={field.kind.write(field.default)}" in text
        assert " ".join(text.split()).count(field.meaning) >= 1


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_shows_all_its_flags(name, monkeypatch):
    called = []
    monkeypatch.setattr(command, "run", lambda *arguments, **_: called.append(arguments))
    monkeypatch.delitem(sys.modules, f"embeddings.{name}", raising=False)
    runpy.run_module(f"embeddings.{name}", run_name="__main__")
    (main, ran, *_), = called
    cls = getattr(importlib.import_module(f"embeddings.{name}"), ran.__name__)
    done = subprocess.run([sys.executable, "-m", f"embeddings.{name}", "--help"], capture_output=True, text=True,
                          cwd=ROOT, env=environment(ROOT), timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m embeddings.{name} ")
    assert "\n    python -m embeddings." in done.stdout, "its docstring shows how it is called"
    for field in fields.leaves(cls):
        assert f"  --{field.name}=" in done.stdout
        assert field.meaning, f"--{field.name} says what it is for"
    assert main.__doc__


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_flag_of_each_command_is_one_line(name, tmp_path):
    done = subprocess.run([sys.executable, "-m", f"embeddings.{name}", "--xyz=1"], capture_output=True, text=True,
                          cwd=tmp_path, env=environment(ROOT), timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"{name}: there is no flag --xyz.*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_the_door_opens_without_heavy_imports():
    modules = ["embeddings.command", "embeddings.experiment", *(f"embeddings.{name}" for name in COMMANDS)]
    heavy = {"jax", "numpy", "pyarrow", "scipy", "optax"}
    program = f"import sys, {', '.join(modules)}; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment(ROOT),
                          timeout=60)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_errors_of_the_machine_are_told_from_mistakes_of_ours():
    assert command.message(ValueError('RESOURCE_EXHAUSTED: Error opening "/runs/x": No space left on device')) == (
        "/runs/x: No space left on device; free some space, or choose another folder")
    assert command.message(RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore")) == (
        "not enough memory: RESOURCE_EXHAUSTED: Out of memory; choose smaller sizes, or a larger machine")
    denied = PermissionError(errno.EACCES, "Permission denied", "/a b")
    assert command.message(denied).startswith("/a b: Permission denied; choose another folder")
    assert command.message(ValueError("x")) is None
    assert command.message(FileNotFoundError(errno.ENOENT, "x", "y")) is None
    assert [command.message(kind("x")) for kind in (Problem, UsageProblem, Preempted)] == ["x"] * 3
