"""Train, reproduce and dissect text embeddings in JAX."""
from pathlib import Path
from typing import Any


def load(model: str | Path, **how: Any) -> Any:
    """What a run's folder, a file of vectors, a folder of a Transformer or ELMo, or a hub's name stands for, as
    something with `.encode(texts)`.

    Args:
        model: path or name.
        how: `tokenizer`, `lower`, `counts` and `dtype`, as encoder.load has them.

    Raises embeddings.problems.Problem, one line, when nothing readable is there.
    """
    from embeddings import encoder  # late: who only asks for help should not wait for JAX

    return encoder.load(model, **how)
