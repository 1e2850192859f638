"""Tasks of a model of running text."""
from pathlib import Path

from embeddings.evaluation import perplexity, reading
from embeddings.evaluation.tasks.task import Kind, Options, Task


def _perplexity(name: str, data: Path | None, options: Options) -> Task:
    text = perplexity.read(reading.placed(options.text, data))
    return Task(name, "predictions", lambda model: (perplexity.evaluate(model, text, options.stride),),
                perplexity.table)


KINDS = {"perplexity": Kind(lambda _: None, _perplexity)}
