"""The README.md of a model's folder: what it is, what it was made from, how it is used, and what it was measured to be.

It begins with the facts that the Hugging Face hub reads of a card.
"""
import json
from pathlib import Path

from embeddings.contextual.folder import classifier
from embeddings.contextual.model import Contextual
from embeddings.training import metrics, run_folder

HEAD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction, sentence-similarity]
---
"""
HEAD_OF_CLASSES = """---
library_name: transformers
pipeline_tag: text-classification
tags: [sentence-transformers, cross-encoder]
---
"""


def card(model: Contextual, source: Path) -> str:
    """The text for a model that came from a run's folder or any other."""
    told = classifier(model) is not None
    parts = [HEAD_OF_CLASSES if told else HEAD, _model(model), _use_of_classes(model) if told else _use()]
    if (source / run_folder.FLAGS).is_file():
        parts += [_data(source), _scores(source), _flags(source)]
    return "\n".join(filter(None, parts))


def _model(model: Contextual) -> str:
    stack = model.config.stack
    steps = ", ".join((*model.pipeline.pooling, *(type(step).__name__ for step in model.pipeline.steps)))
    return (f"# A model of sentences\n\n{model.family}, {stack.layers} layers of width {stack.width} with "
            f"{stack.heads} heads, {model.tokenizer.size:,} tokens; at most {model.longest} tokens a text. A text's "
            f"vector: {steps}; {model.width} numbers.\n")


def _use() -> str:
    return ("```python\nfrom sentence_transformers import SentenceTransformer  # or: import embeddings\n\n"
            'model = SentenceTransformer("this/folder")  # or: embeddings.load("this/folder")\n'
            'vectors = model.encode(["a text", "another one"])\n```\n')


def _use_of_classes(model: Contextual) -> str:
    what = "classify" if model.head.classes else "predict"
    pair = model.pipeline.joined
    asked = '[("a text", "another one")]' if pair else '["a text"]'
    theirs = "# or: sentence_transformers.CrossEncoder, or: transformers' AutoModelForSequenceClassification"
    return (f'```python\nimport embeddings  {theirs}\n\nembeddings.load("this/folder").{what}({asked})\n```\n\n'
            + (f"Classes: {', '.join(model.head.classes)}.\n" if model.head.classes else ""))


def _data(run: Path) -> str:
    settings = run_folder.read_experiment(run)
    try:
        said = json.loads((run / run_folder.PROVENANCE).read_bytes())
    except (OSError, ValueError):
        said = {}
    corpus = said.get("corpus", {})
    about = [f"Architecture: {settings.architecture}" + (f", from {settings.start_from}" * bool(settings.start_from))]
    if settings.level == "sentences":
        sets = zip(corpus.get("sets", settings.examples.sets), corpus.get("examples", ()), strict=False)
        about.append("Examples: " + (", ".join(f"{Path(name).name} ({size:,})" for name, size in sets) or "unknown"))
        about.append(f"Loss: {settings.model.loss}")
    else:
        about.append(f"Text: {Path(settings.corpus).name}")
    versions = said.get("versions", {})
    if versions:
        about.append(f"Made with embeddings {versions.get('embeddings')}, jax {versions.get('jax')}, commit "
                     f"{said.get('commit') or 'unknown'}, on {said['devices'][1]} {said['devices'][0]}")
    return "## Training\n\n" + "".join(f"- {line}\n" for line in about)


def _scores(run: Path) -> str:
    """The last value of all that was measured, in the order of metrics.jsonl."""
    step, _ = run_folder.read_params(run)
    last = metrics.last(run / run_folder.METRICS, step)
    lines = "".join(f"| {name} | {value:.4f} | {at} |\n" for name, (value, at) in last.items())
    return f"## Measured in training\n\n| | | at batch |\n|---|---|---|\n{lines}" if lines else ""


def _flags(run: Path) -> str:
    return f"## Flags\n\n```\n{(run / run_folder.FLAGS).read_text().strip()}\n```\n"
