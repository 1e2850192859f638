"""Every architecture with every objective, as flags; what tests of the whole run through the real commands."""

CASES = {
    "skip-gram, negative sampling, sgd": ["--optimizer.learning_rate=0.02"],
    "skip-gram, negative sampling, adagrad": ["--optimizer.name=adagrad", "--optimizer.learning_rate=0.05"],
    "CBOW, negative sampling, sgd": ["--word2vec.algorithm=cbow", "--optimizer.learning_rate=0.02"],
    "skip-gram, softmax, adam": ["--word2vec.loss=softmax", "--optimizer.name=adam", "--optimizer.learning_rate=0.01"],
    "skip-gram, softmax, lamb": ["--word2vec.loss=softmax", "--optimizer.name=lamb", "--optimizer.learning_rate=0.01"],
}
