"""Where a run's numbers come from: enough to make it again, or to see why it came out otherwise."""
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from embeddings import experiment

RECORDED = ("embeddings", "jax", "jaxlib", "numpy", "flax", "optax", "orbax-checkpoint", "pyarrow", "tokenizers")
"""Packages whose versions are written down."""


def facts(settings: experiment.Experiment, corpus: dict[str, Any]) -> dict[str, Any]:
    """What a run was made from (`corpus`) and on, for its provenance.json."""
    return {
        "flags": experiment.fingerprint(settings),
        "commit": commit(Path(__file__).parent),
        "versions": {name: version(name) for name in RECORDED} | {"python": platform.python_version()},
        "devices": [device.device_kind for device in jax.devices()[:1]] + [jax.device_count(), jax.process_count()],
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "corpus": corpus,
    }


def commit(folder: Path) -> str | None:
    """The commit of the checkout that the package lies in, with a + where files differ from it; None elsewhere."""
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if dirty else "")


def version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
