"""Tasks of a model of running text."""
from pathlib import Path

from embeddings.evaluation import perplexity
from embeddings.evaluation.tasks.task import Kind, Options, Task


def _perplexity(name: str, data: Path | None, options: Options) -> Task:
    path = options.text
    if data and not path.is_absolute() and not path.exists() and (data / path).exists():
        path = data / path  # as rows of tables name it, which do not know where data are
    text = perplexity.read(path)
    return Task(name, "predictions", lambda model: (perplexity.evaluate(model, text, options.stride),),
                perplexity.table)


KINDS = {"perplexity": Kind(lambda _: None, _perplexity)}
