"""Train, reproduce and dissect text embeddings in JAX."""
from pathlib import Path
from typing import Any


def load(model: str | Path) -> Any:
    """What a run's folder or a file of vectors holds, as something with `.encode(texts)`.

    `model` is a path. Raises embeddings.problems.Problem, one line, when nothing readable is there.
    """
    from embeddings import encoder  # late: who only asks for help should not wait for JAX

    return encoder.load(model)
