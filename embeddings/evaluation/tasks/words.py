"""Tasks of a table of word vectors."""
from pathlib import Path

from embeddings.evaluation import analogies, word_similarity
from embeddings.evaluation.tasks.task import Kind, Options, Task

GOOGLE = Path("analogy/questions-words.txt")
PAIRS = Path("wordsim")
PYTHON_DOCS = Path(analogies.__file__).with_name("python_docs.txt")


def _analogies(name: str, path: Path, title: str, options: Options) -> Task:
    questions = analogies.read(path)
    return Task(name, "words", lambda model: tuple(
        analogies.evaluate(model.vectors, model.words, questions, options.vocabulary, method, name=title)
        for method in options.methods), analogies.table)


def _similarity(name: str, data: Path, options: Options) -> Task:
    sets = [word_similarity.read(path) for path in word_similarity.find(data / PAIRS)]
    return Task(name, "words", lambda model: (word_similarity.evaluate(model.vectors, model.words, sets),),
                word_similarity.table)


KINDS = {
    "analogies": Kind(
        lambda data: None if (data / GOOGLE).is_file() else f"{data / GOOGLE} is missing",
        lambda name, data, options: _analogies(name, data / GOOGLE, "Google analogies", options)),
    "similarity": Kind(
        lambda data: None if word_similarity.find(data / PAIRS) else f"{data / PAIRS} holds no EN-*.txt or *_vecto.csv",
        _similarity),
    "python_docs": Kind(
        lambda _: None if PYTHON_DOCS.is_file() else f"{PYTHON_DOCS} is missing: install the package again",
        lambda name, _, options: _analogies(name, PYTHON_DOCS, "Python documentation analogies", options)),
}
