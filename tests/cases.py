"""Every architecture with every objective, as flags; what tests of the whole run through the real commands."""

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
    "CBOW, negative sampling, sgd": ["--word2vec.algorithm=cbow", "--optimizer.learning_rate=0.02"],
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
        "--optimizer.learning_rate=0.01",
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
}

SLOW = {
    "skip-gram, nce, sgd", "skip-gram, softmax, lamb", "skip-gram, adaptive softmax, adam",
    "CBOW, hierarchical softmax, adagrad", "CBOW, softmax, adam", "fastText, skip-gram, nce, sgd",
    "fastText, CBOW, sgd",
}
"""Those that go much the way of others: not for the plain command."""


def sized(case: str, **sizes: int) -> list[str]:
    """A case's flags, and sizes of its architecture."""
    part = next((flag.partition("=")[2] for flag in CASES[case] if flag.startswith("--architecture=")), "word2vec")
    return [*CASES[case], *(f"--{part}.{name}={size}" for name, size in sizes.items() if fits(part, name))]


def fits(part: str, name: str) -> bool:
    """Whether an architecture has a size of this name."""
    return part != "glove" or name in ("width", "chunk", "window")


def dense(case: str) -> bool:
    """Whether a case's updates touch all parameters."""
    return "softmax" in case and "hierarchical" not in case
