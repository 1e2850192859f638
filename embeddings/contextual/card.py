"""The README.md of a model's folder: what it is, what it was made from, how it is used, and what it was measured to be.

It begins with the facts that the Hugging Face hub reads of a card.
"""
import json
from pathlib import Path
from typing import NamedTuple

from embeddings.contextual import tasks
from embeddings.contextual.classes import Head
from embeddings.contextual.model import Contextual
from embeddings.contextual.tokens import Reader, Tagger
from embeddings.training import metrics, run_folder


class Kind(NamedTuple):
    """What a card says of all models of a kind."""

    title: str
    facts: str
    """What the hub reads."""
    use: str
    """Lines of Python."""
    loss: str = ""
    """What training takes, where no flag says it."""


SENTENCES = Kind("A model of sentences", """library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction, sentence-similarity]
""", """from sentence_transformers import SentenceTransformer  # or: import embeddings

model = SentenceTransformer("this/folder")  # or: embeddings.load("this/folder")
vectors = model.encode(["a text", "another one"])
""")
TAGGER = Kind("A tagger of words", """library_name: transformers
pipeline_tag: token-classification
""", """import embeddings
from transformers import pipeline

tags = embeddings.load("this/folder").tag([["Ada", "lived", "in", "London"]])  # one for each word
groups = pipeline("token-classification", "this/folder", aggregation_strategy="first")("Ada lived in London")
""", "cross-entropy of the tag of each word, by its first token")
READER = Kind("A reader that answers questions", """library_name: transformers
pipeline_tag: question-answering
""", """import embeddings
from transformers import AutoModelForQuestionAnswering

answers = embeddings.load("this/folder").answer([("Who built it?", "The tower was built by Eiffel.")])
model = AutoModelForQuestionAnswering.from_pretrained("this/folder")  # gives start_logits and end_logits
""", "cross-entropy of an answer's first and last token, among all of a row")
CLASSES = Kind("A model that tells classes or a number", """library_name: transformers
pipeline_tag: text-classification
tags: [sentence-transformers, cross-encoder]
""", """import embeddings  # or sentence_transformers.CrossEncoder, or transformers' AutoModelForSequenceClassification

embeddings.load("this/folder").{what}({asked})
""")
KINDS = {Tagger: TAGGER, Reader: READER}


def card(model: Contextual, source: Path) -> str:
    """The text for a model that came from a run's folder or any other."""
    kind = _kind(model)
    parts = [f"---\n{kind.facts}---\n", f"# {kind.title}\n", _model(model), f"```python\n{kind.use}```\n"]
    if (source / run_folder.FLAGS).is_file():
        parts += [_data(source, kind), _scores(source), _flags(source)]
    return "\n".join(filter(None, parts))


def _model(model: Contextual) -> str:
    stack, head = model.config.stack, model.head
    steps = ", ".join((*model.pipeline.pooling, *(type(step).__name__ for step in model.pipeline.steps)))
    about = (f"{model.family}, {stack.layers} layers of width {stack.width} with {stack.heads} heads, "
             f"{model.tokenizer.size:,} tokens; at most {model.longest} tokens a text. A text's vector: {steps}; "
             f"{model.width} numbers.\n")
    if isinstance(head, Head) and head.classes:
        about += f"\nClasses: {', '.join(head.classes)}.\n"
    if isinstance(head, Tagger):
        about += f"\nThe tag of a word is that of its first token: {', '.join(head.classes)}.\n"
    if isinstance(head, Reader):
        empty = "may answer nothing, which is the first token's score" if head.may_be_empty else "always answers"
        about += (f"\nIt {empty}. Windows of a long text have {head.overlap} tokens in common; an answer has at most "
                  f"{head.longest_answer}.\n")
    return about


def _kind(model: Contextual) -> Kind:
    if type(model.head) in KINDS:
        return KINDS[type(model.head)]
    if tasks.kept(model) is None:
        return SENTENCES
    what = "classify" if model.head.classes else "predict"
    asked = '[("a text", "another one")]' if model.pipeline.joined else '["a text"]'
    return CLASSES._replace(use=CLASSES.use.format(what=what, asked=asked))


def _data(run: Path, kind: Kind) -> str:
    settings = run_folder.read_experiment(run)
    try:
        said = json.loads((run / run_folder.PROVENANCE).read_bytes())
    except (OSError, ValueError):
        said = {}
    corpus = said.get("corpus", {})
    about = [f"Architecture: {settings.architecture}" + (f", from {settings.start_from}" * bool(settings.start_from))]
    if settings.level in ("sentences", "tokens"):
        sizes = corpus.get("examples", corpus.get("texts", ()))
        sets = zip(corpus.get("sets", settings.examples.sets), sizes, strict=False)
        about.append("Examples: " + (", ".join(f"{Path(name).name} ({size:,})" for name, size in sets) or "unknown"))
        about.append(f"Loss: {kind.loss or settings.model.loss}")
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
