"""Runs the package's commands without waiting for their imports: most of what a small run takes is importing jax.

`run` takes what subprocess.run takes. The first call of a process starts another one that imports everything, and each
command is a fork of that, with its own arguments, environment, folder, files, and exit code; the module runs as
`python -m` would run it. What a test says about starting, signals or terminals needs subprocess itself.
"""
import atexit
import contextlib
import functools
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(command, *, cwd=None, env=None, input=None, text=False, check=False, timeout=None, capture_output=True):
    """What a command says and how it ends. Raises as subprocess.run does."""
    python, *switches = command[: command.index("-m")]
    assert python == sys.executable and switches in ([], ["-W", "error"]), command
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("input", "output", "errors")]
        given = input.encode() if isinstance(input, str) else input
        files[0].write_bytes(given or b"")
        argv = [str(part) for part in command[command.index("-m") + 1 :]]
        asked = {"argv": argv, "strict": bool(switches), "cwd": str(cwd or os.getcwd()), "env": dict(env or os.environ),
                 "files": [str(file) for file in files]}
        code = _ended(_server(), asked, timeout)
        out, errors = (file.read_bytes() for file in files[1:])
    if text:
        out, errors = out.decode(), errors.decode()
    done = subprocess.CompletedProcess(command, code, out, errors)
    if check:
        done.check_returncode()
    return done


@functools.cache
def _server():
    """The process that has imported everything."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    server = subprocess.Popen([sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=clean | {"PYTHONDONTWRITEBYTECODE": ""})
    atexit.register(server.communicate)
    return server


def _ended(server, asked, timeout):
    """The exit code of what was asked for."""
    server.stdin.write(json.dumps(asked).encode() + b"\n")
    server.stdin.flush()
    process = int(server.stdout.readline())
    if not select.select([server.stdout], [], [], timeout)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        server.stdout.readline()
        raise subprocess.TimeoutExpired(asked["argv"], timeout)
    return os.waitstatus_to_exitcode(int(server.stdout.readline()))


def serve():
    """Forks a process for each line of standard input; says its number, and when it has ended its status."""
    _import_all()
    gc.freeze()
    for line in sys.stdin.buffer:
        process = os.fork()
        if not process:
            return json.loads(line)
        print(process, flush=True)
        print(os.waitpid(process, 0)[1], flush=True)
    return None


def _import_all():
    import importlib
    import pkgutil

    import embeddings

    for module in pkgutil.walk_packages(embeddings.__path__, "embeddings."):
        if module.name != "embeddings.evaluation.mteb":  # an extra's
            importlib.import_module(module.name)


def become(asked):
    """Runs the module that was asked for, as a process that was just started."""
    import runpy
    import warnings

    import jax

    from embeddings import command

    for number, file in enumerate(asked["files"]):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    if asked["strict"]:
        warnings.simplefilter("error")

    def configure():
        """jax has read its variables already: tells it those of now."""
        for name, value in os.environ.items():
            if hasattr(jax.config, name.lower()):
                kind = type(getattr(jax.config, name.lower()))
                jax.config.update(name.lower(), kind(value) if kind in (int, float) else value)

    known = command.cache

    def cache():
        folder = known()
        configure()
        return folder

    configure()
    command.cache = cache
    module, *arguments = asked["argv"]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # what is left of an interpreter's end is freeing the server's memory, object by object


if __name__ == "__main__":
    asked = serve()
    if asked:
        become(asked)
