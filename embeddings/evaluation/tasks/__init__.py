"""The tasks that a model is measured by, each found with its data and ready to run. What a task needs says on which:

    a table of word vectors
        analogies       the Google set (Mikolov et al. 2013), by 3CosAdd and 3CosMul
        similarity      every set of word pairs that is there
        python_docs     the package's own analogies about Python's documentation, by 3CosAdd and 3CosMul
    an encoder of texts; word vectors are one, by the mean of a text's words, or SIF's
        sts             sentence similarity
        sts-b           its STS benchmark alone; sts-b-dev is that one's development part, to choose runs by
        pairs           paraphrases told from pairs that are none
        classification  logistic regression on few samples a label, as MTEB has it
        clustering      v-measure of k-means
        retrieval       documents ranked for a query, beside BM25
        documentation   texts of Python's documentation ranked for their summaries, beside BM25 and word vectors
        senteval        logistic regression by SentEval's protocol; takes minutes
    a vector of every word of a sentence
        entities        named entities by a probe
    classes, numbers, tags or answers of its own
        classes         accuracy on the test parts of those of SST2, SST5, TREC, SUBJ (every tenth text),
                        Banking77, and of pairs MRPC and SNLI, that have the same ones
        regression      Pearson's and Spearman's correlation of its numbers for the pairs of the STS benchmark
        glue-cola, -sst-2, -mrpc, -sts-b, -qqp, -mnli, -qnli, -rte    the development part of one of GLUE's tasks
        tags            named entities of those of WNUT17 and CoNLL-2003 whose types are the model's, and accuracy of
                        parts of speech on the Penn Treebank's where its tags are
        answers         spans that answer the questions of SubjQA, XQuAD and SQuAD
    a model of running text
        perplexity      how well it predicts a text
"""
from collections.abc import Sequence
from pathlib import Path

from embeddings.corpus import glue
from embeddings.evaluation.tasks import classes, sentences, sequences, tokens, words
from embeddings.evaluation.tasks.task import DEFAULTS, Options, Task
from embeddings.problems import Problem, UsageProblem

KINDS = words.KINDS | sentences.KINDS | tokens.KINDS | classes.KINDS | sequences.KINDS
TASKS = tuple(KINDS)
WITHOUT_DATA = ("python_docs", "documentation", "perplexity")
NAMED = {"sts-b": "is among those of sts", "sts-b-dev": "is for choosing among runs", "documentation": "takes minutes",
         "senteval": "takes minutes", **dict.fromkeys(glue.TASKS, "is for what was trained on it")}
"""Tasks that need no folder of data sets; and those that are run only where they are named, and why."""


def missing(name: str, data: Path | None, options: Options = DEFAULTS) -> str | None:
    """Why a task cannot run, and what to do about it; None where it can. Raises UsageProblem for an unknown name."""
    if name not in KINDS:
        raise UsageProblem(f"no evaluation task {name!r}: there are {', '.join(TASKS)}")
    if name == "retrieval" and options.collections:
        return None
    if name == "perplexity" and options.text is None:
        return "no text is named: name a file with --text"
    if data is None and name not in WITHOUT_DATA:
        return "no folder of data sets is known: name it with --data or EMBEDDINGS_DATA"
    return KINDS[name].missing(data or Path())


def tasks(names: Sequence[str], data: Path | None, options: Options = DEFAULTS) -> tuple[Task, ...]:
    """Tasks by name, their files read and checked; `data` is the folder of data sets.

    Raises:
        UsageProblem: an unknown name.
        Problem: a file is missing or not as it should be.
    """
    for name in names:
        reason = missing(name, data, options)
        if reason:
            raise Problem(f"evaluation task {name}: {reason}")
    return tuple(KINDS[name].make(name, data, options) for name in names)
