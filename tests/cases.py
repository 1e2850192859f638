"""Every architecture with every objective, as flags; what tests of the whole run through the real commands."""

ROUNDING = "--optimizer.epsilon=1e-4"
"""For cases where a number's gradient is rounding in some step (a rare word's): Adam, which divides by its size, would
take that for a direction. Far less than the rest of their gradients."""
CASES = {
    "skip-gram, negative sampling, sgd": ["--optimizer.learning_rate=0.02"],
    "skip-gram, negative sampling, adagrad": ["--optimizer.name=adagrad", "--optimizer.learning_rate=0.05"],
    "skip-gram, nce, sgd": ["--word2vec.loss=nce", "--optimizer.learning_rate=0.02"],
    "skip-gram, hierarchical softmax, sgd": [
        "--word2vec.loss=hierarchical_softmax", "--optimizer.learning_rate=0.02",
    ],
    "skip-gram, adaptive softmax, adam": [
        "--word2vec.loss=adaptive_softmax", "--optimizer.name=adam", "--optimizer.learning_rate=0.01",
    ],
    "skip-gram, softmax, adam": ["--word2vec.loss=softmax", "--optimizer.name=adam", "--optimizer.learning_rate=0.01"],
    "skip-gram, softmax, lamb": ["--word2vec.loss=softmax", "--optimizer.name=lamb", "--optimizer.learning_rate=0.01"],
    "CBOW, negative sampling, sgd": [
        "--word2vec.algorithm=cbow", "--word2vec.piece=400", "--optimizer.learning_rate=0.02",
    ],
    "CBOW, nce, adagrad": [
        "--word2vec.algorithm=cbow", "--word2vec.loss=nce", "--optimizer.name=adagrad",
        "--optimizer.learning_rate=0.05",
    ],
    "CBOW, hierarchical softmax, adagrad": [
        "--word2vec.algorithm=cbow", "--word2vec.loss=hierarchical_softmax", "--optimizer.name=adagrad",
        "--optimizer.learning_rate=0.05",
    ],
    "CBOW, adaptive softmax, adam": [
        "--word2vec.algorithm=cbow", "--word2vec.loss=adaptive_softmax", "--optimizer.name=adam",
        "--optimizer.learning_rate=0.01",
    ],
    "CBOW, softmax, adam": [
        "--word2vec.algorithm=cbow", "--word2vec.loss=softmax", "--optimizer.name=adam",
        "--optimizer.learning_rate=0.01", ROUNDING,
    ],
    "fastText, skip-gram, sgd": ["--architecture=fasttext", "--optimizer.learning_rate=0.02"],
    "fastText, skip-gram, nce, sgd": [
        "--architecture=fasttext", "--fasttext.loss=nce", "--optimizer.learning_rate=0.02",
    ],
    "fastText, CBOW, sgd": [
        "--architecture=fasttext", "--fasttext.algorithm=cbow", "--optimizer.learning_rate=0.02",
    ],
    "fastText, CBOW, position weights, adagrad": [
        "--architecture=fasttext", "--fasttext.algorithm=cbow", "--fasttext.position_weights=true",
        "--optimizer.name=adagrad", "--optimizer.learning_rate=0.05",
    ],
    "GloVe, adagrad": ["--architecture=glove", "--optimizer.name=adagrad", "--optimizer.learning_rate=0.05"],
    "BERT, masked words, adamw": [
        "--architecture=bert", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
        "--optimizer.weight_decay=0.01", "--optimizer.clip=1",
    ],
    "BERT, masked words, lamb": ["--architecture=bert", "--optimizer.name=lamb", "--optimizer.learning_rate=0.002"],
    "GPT-2, next words, adamw": ["--architecture=gpt", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002"],
    "GPT-2, next words, adafactor": [
        "--architecture=gpt", "--gpt.remat=true", "--optimizer.name=adafactor", "--optimizer.learning_rate=0.002",
    ],
    "Sentence-BERT, in-batch, adamw": [
        "--architecture=sentence_bert", "--sentence_bert.learned_temperature=true", "--sentence_bert.symmetric=true",
        "--sentence_bert.matryoshka=8,32", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
        ROUNDING,
    ],
    "Sentence-BERT, SimCSE, adamw": [
        "--architecture=sentence_bert", "--sentence_bert.loss=simcse", "--examples.columns=text1",
        "--optimizer.name=adamw", "--optimizer.learning_rate=0.002", ROUNDING,
    ],
    "Sentence-BERT, softmax, adam": [
        "--architecture=sentence_bert", "--sentence_bert.loss=softmax", "--examples.label=class",
        "--optimizer.name=adam", "--optimizer.learning_rate=0.002",
    ],
    "cross-encoder, softmax, adamw": [
        "--architecture=sentence_bert", "--sentence_bert.joined=true", "--sentence_bert.loss=softmax",
        "--sentence_bert.parts=u", "--sentence_bert.pooling=cls", "--sentence_bert.dense=32",
        "--examples.label=class", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
    ],
    "cross-encoder, both orders, softmax, adamw": [
        "--architecture=sentence_bert", "--sentence_bert.joined=true", "--sentence_bert.both_orders=true",
        "--sentence_bert.loss=softmax", "--sentence_bert.parts=u", "--examples.label=class",
        "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
    ],
    "USE, Transformer, in-batch, adamw": [
        "--architecture=universal_sentence_encoder", "--universal_sentence_encoder.dense=24", "--optimizer.name=adamw",
        "--optimizer.learning_rate=0.002", ROUNDING,
    ],
    "USE, averaging, in-batch, adamw": [
        "--architecture=universal_sentence_encoder", "--universal_sentence_encoder.encoder=averaging",
        "--universal_sentence_encoder.dense=24", "--universal_sentence_encoder.buckets=500", "--optimizer.name=adamw",
        "--optimizer.learning_rate=0.002",
    ],
    "tagger, adamw": ["--architecture=tagger", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002"],
    "tagger on ELMo, adamw": [
        "--architecture=tagger", "--start_from=elmo", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
    ],
    "tagger on ELMo, fixed, adamw": [
        "--architecture=tagger", "--start_from=elmo", "--tune.layers=0", "--optimizer.name=adamw",
        "--optimizer.learning_rate=0.02",
    ],
    "Sentence-BERT on ELMo, softmax, adam": [
        "--architecture=sentence_bert", "--start_from=elmo", "--sentence_bert.loss=softmax", "--examples.label=class",
        "--optimizer.name=adam", "--optimizer.learning_rate=0.002",
    ],
    "reader, adamw": [
        "--architecture=reader", "--reader.overlap=4", "--optimizer.name=adamw", "--optimizer.learning_rate=0.002",
    ],
}

PLAIN = {
    "skip-gram, negative sampling, sgd", "GloVe, adagrad", "BERT, masked words, adamw",
}
"""Those that are least alike: for the plain command, which has minutes."""
KILLED = {"skip-gram, negative sampling, sgd"}
"""Those of them that it kills and resumes."""
CHUNKED: set[str] = set()
"""And that it runs in chunks: none, as each takes a minute (the long run has them all)."""


TINY = {"layers": 2, "width": 32, "heads": 4, "feed_forward": 64, "length": 32, "positions": 32}
"""Sizes of a contextual model, with dropout as it is by default; those of one that training starts from are its own."""


def sized(case: str, **sizes: int) -> list[str]:
    """A case's flags, and sizes of its architecture; of a contextual model those of TINY."""
    if contextual(case):
        tiny = [f"--{architecture(case)}.{name}={size}" for name, size in TINY.items()
                if not started(case) or name in ("length", "positions")]
        return [*CASES[case], *tiny, "--pieces.size=300"]
    part = architecture(case)
    sizes = [f"--{part}.{name}={size}" for name, size in sizes.items() if fits(part, name)]
    return [*CASES[case], *sizes, "--vocabulary.min_count=1"]


def architecture(case: str) -> str:
    """What a case trains."""
    return next((flag.partition("=")[2] for flag in CASES[case] if flag.startswith("--architecture=")), "word2vec")


def started(case: str) -> bool:
    """Whether a case starts from small.saved_elmo, in the folder that it runs in."""
    return "--start_from=elmo" in CASES[case]


def contextual(case: str) -> bool:
    """Whether a case's model reads running text."""
    return bool(examples(case)) or architecture(case) in ("bert", "gpt")


def examples(case: str) -> str:
    """The kind of file that a case is trained on, where that holds examples of texts."""
    kinds = {"sentence_bert": ".jsonl", "universal_sentence_encoder": ".jsonl", "tagger": ".conll", "reader": ".json"}
    return kinds.get(architecture(case), "")


def fits(part: str, name: str) -> bool:
    """Whether an architecture has a size of this name."""
    return part != "glove" or name in ("width", "chunk", "window")


def dense(case: str) -> bool:
    """Whether a case's updates touch all parameters."""
    return contextual(case) or ("softmax" in case and "hierarchical" not in case)
