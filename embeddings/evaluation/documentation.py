"""Retrieval in Python's documentation: each summary asks for the text that it summarises, among all such texts.

The packages that it is measured on were never read in training (corpus.example_sets.HELD_OUT). Two baselines stand
beside a model: BM25, and the mean of word vectors, by skip-gram on what models are trained on.
"""
import tempfile
from pathlib import Path

import jax

from embeddings import encoder
from embeddings.corpus import documents, example_sets, shards
from embeddings.encoder import WordVectors
from embeddings.evaluation import judged, retrieval
from embeddings.evaluation.judged import Collection
from embeddings.evaluation.scores import Result
from embeddings.experiment import Experiment, Train
from embeddings.training import architectures, mesh
from embeddings.training.job import Corpus

NAME = "Python documentation"
BASELINE = Experiment(train=Train(epochs=10.0))
"""How the word vectors of the baseline are trained."""


def collection(cache: Path) -> Collection:
    """The held-out summaries and texts. The same text below several summaries is one document."""
    examples = list(example_sets.documentation(cache, held_out=True))
    texts = list(dict.fromkeys(example.texts[1] for example in examples))
    number = {text: n for n, text in enumerate(texts)}
    judgements = [(n, number[example.texts[1]], 1) for n, example in enumerate(examples)]
    return judged.collection(NAME, [example.texts[0] for example in examples], texts, judgements)


def word_vectors(cache: Path, settings: Experiment = BASELINE) -> WordVectors:
    """Word vectors of the documentation that is for training."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documentation.txt"
        path.write_text("\n".join(" ".join(text.split()) for example in example_sets.documentation(cache)
                                  for text in example.texts), encoding="utf-8")
        source = documents.find(str(path), text=settings.text, data=None, cache=path.parent)
        vocabulary, tokens = shards.prepare(source, settings.text, settings.vocabulary, path.parent)
        architecture = architectures.of(settings)
        material = architecture.prepare(settings, Corpus(vocabulary.words, vocabulary.counts, tokens, path.parent))
        job = architecture.build(settings, material, mesh.make(settings.mesh, jax.local_devices()[:1]))
        state = job.start(settings.seed)
        for n in range(job.steps):
            state, _ = job.step(state, job.place(n).arrays)
        return encoder.encoded(settings, vocabulary, job.host_tables(state))


def baselines(cache: Path) -> tuple[Result, ...]:
    """What stands beside a model. Raises Problem without the extra [retrieval], for BM25."""
    one = collection(cache)
    mean = retrieval.evaluate(word_vectors(cache).encode, [one], "mean word vectors")
    return mean, retrieval.evaluate_bm25([one])
