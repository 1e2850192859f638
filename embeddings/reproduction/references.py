"""Other implementations on the same data with the same settings: gensim, fastText's own program, sentence-transformers.

None of them is a dependency: what is not installed is said, with the way to install it (extra [peers]).
"""
import functools
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.corpus import documents, example_sets
from embeddings.encoder import WordVectors
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.words import Words


def model(settings: Experiment, weights: str, data: Path | None, cache: Path, cores: int) -> Any:
    """The reference's model, ready for the same tasks; `weights` is where those of --row.model are.

    Raises Problem where its package is not installed.
    """
    name = settings.row.reference
    try:
        if name == "sentence_transformers":
            return _sentence_transformers(settings, weights, data)
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "lines.txt"
            write_lines(settings, data, cache, lines)
            return {"gensim": _gensim, "fasttext": _fasttext}[name](settings, lines, cores)
    except ImportError as error:
        what = error.name or str(error).partition("\n")[0]
        raise Problem(f"the reference {name} is not installed ({what}): pip install 'embeddings[peers]', or "
                      "leave references out by --noreference") from None


def write_lines(settings: Experiment, data: Path | None, cache: Path, path: Path) -> None:
    """The corpus's words, a line a line, as our own run cuts them."""
    cut = Words(settings.text.tokenizer, settings.text.lower)
    source = documents.find(settings.corpus, text=settings.text, data=data, cache=cache)
    with path.open("w", encoding="utf-8") as file:
        for block in documents.blocks(source):
            flat, starts = cut.lines(block.text)
            words = flat.to_pylist()
            file.writelines(" ".join(words[a:b]) + "\n" for a, b in itertools.pairwise(starts) if b > a)


def _gensim(settings: Experiment, lines: Path, cores: int) -> WordVectors:
    from gensim.models import FastText, Word2Vec

    part = settings.model
    more: dict[str, Any] = {}
    make = Word2Vec
    if settings.architecture == "fasttext":
        make, more = FastText, {"min_n": part.min_ngram, "max_n": part.max_ngram, "bucket": part.buckets}
    hierarchical = part.loss == "hierarchical_softmax"
    made = make(
        corpus_file=str(lines), vector_size=part.width, window=part.window, sg=int(part.algorithm == "skipgram"),
        hs=int(hierarchical), negative=0 if hierarchical else part.negatives, sample=part.subsample,
        min_count=settings.vocabulary.min_count, alpha=settings.optimizer.learning_rate,
        min_alpha=settings.optimizer.learning_rate * settings.optimizer.final_learning_rate,
        epochs=int(settings.train.epochs), workers=cores, seed=settings.seed, ns_exponent=part.noise_power, **more,
    )
    return WordVectors(tuple(made.wv.index_to_key), np.array(made.wv.vectors))


def _fasttext(settings: Experiment, lines: Path, cores: int) -> WordVectors:
    import fasttext

    part = settings.model
    ngrams = {"minn": 0, "maxn": 0}
    if settings.architecture == "fasttext":
        ngrams = {"minn": part.min_ngram, "maxn": part.max_ngram, "bucket": part.buckets}
    made = fasttext.train_unsupervised(
        str(lines), model=part.algorithm, dim=part.width, ws=part.window, neg=part.negatives, t=part.subsample,
        minCount=settings.vocabulary.min_count, lr=settings.optimizer.learning_rate, thread=cores, verbose=0,
        epoch=int(settings.train.epochs), **ngrams,
    )
    words = [word for word in made.get_words() if word != "</s>"]
    return WordVectors(tuple(words), np.stack([made.get_word_vector(word) for word in words]))


class Encoder:
    """Anything with a function from texts to vectors."""

    def __init__(self, encode: Any):
        self.encode = encode


def _sentence_transformers(settings: Experiment, weights: str, data: Path | None) -> Encoder:
    """Its model; trained further by its trainer where the row is a training run."""
    from sentence_transformers import SentenceTransformer

    if not weights:
        raise UsageProblem("--row.reference=sentence_transformers measures --row.model, or trains --start_from "
                           "further: name one")
    made = SentenceTransformer(weights)  # where torch is fastest: on a GPU, if it sees one
    if not settings.row.model:
        _trained(made, settings, data)
    return Encoder(functools.partial(made.encode, show_progress_bar=False))


def _trained(made: Any, settings: Experiment, data: Path | None) -> None:
    """One known set of examples, one loss, the same batch, rate, warm-up and epochs; AdamW, as is theirs by default."""
    import datasets
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments, losses

    losses_of = {"cosine": losses.CosineSimilarityLoss, "in_batch": losses.MultipleNegativesRankingLoss}
    part, name = settings.model, settings.examples.sets[0]
    if part.loss not in losses_of or name not in example_sets.SETS or data is None:
        raise UsageProblem("--row.reference=sentence_transformers trains losses cosine and in_batch on a known set")
    made.max_seq_length = part.length
    rows = list(example_sets.SETS[name].read(data))
    columns = {f"text{n}": [row.texts[n] for row in rows] for n in range(len(rows[0].texts))}
    if part.loss == "cosine":
        columns["label"] = [float(row.label) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder, num_train_epochs=settings.train.epochs, per_device_train_batch_size=settings.train.batch,
            learning_rate=settings.optimizer.learning_rate, warmup_steps=settings.optimizer.warmup,
            weight_decay=settings.optimizer.weight_decay, seed=settings.seed, save_strategy="no", report_to=[],
            logging_strategy="no", disable_tqdm=True)
        SentenceTransformerTrainer(made, arguments, train_dataset=datasets.Dataset.from_dict(columns),
                                   loss=losses_of[part.loss](made)).train()
