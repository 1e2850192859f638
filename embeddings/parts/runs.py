"""How any model is trained, where, and what it is measured by. See experiment.py."""
import dataclasses
from typing import Annotated, Literal

from embeddings.fields import AboveZero, Amount, Count, Decay, Positive, Range, Share


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How gradients become updates."""

    name: Literal["sgd", "momentum", "adam", "adamw", "adagrad", "adafactor", "lamb"] = "sgd"
    """Rule of the update. Rows of word tables are updated by sgd or adagrad, GloVe's by adagrad."""
    learning_rate: AboveZero = 0.05
    """Peak learning rate."""
    final_learning_rate: Share = 1e-4
    """Learning rate at the last step, as a share of the peak, for linear and cosine."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Course of the learning rate after the warm-up."""
    warmup: Share = 0.0
    """Share of all steps in which the rate rises linearly from 0."""
    momentum: Decay = 0.9
    """Decay of the first moment (momentum, adam, adamw, lamb)."""
    second_moment: Decay = 0.999
    """Decay of the second moment (adam, adamw, lamb)."""
    epsilon: AboveZero = 1e-8
    """What stands beside the root of the second moment (adam, adamw): gradients far below it change little, where
    otherwise the rounding of a gradient that is 0 takes steps as long as any."""
    accumulator: AboveZero = 0.1
    """What Adagrad's sums of squares start at."""
    weight_decay: Amount = 0.0
    """Decoupled weight decay (adamw, lamb)."""
    clip: Amount = 0.0
    """Largest global norm of a dense gradient; 0 clips nothing."""


@dataclasses.dataclass(frozen=True)
class Train:
    """How long and in what portions."""

    epochs: AboveZero = 5.0
    """Passes over the corpus."""
    steps: Count = 0
    """Batches in all; 0 takes them from epochs."""
    replicas: Positive = 1
    """Copies of the word tables that cores of a processor train side by side, merged after every batch: faster, and not
    the same training (training/replicas.py)."""
    batch: Positive = 65536
    """What a batch holds: raw words of the corpus; of GloVe counted pairs, of models of running text tokens, of models
    of sentences examples."""
    chunks: Positive = 1
    """Parts that a batch of a contextual model is gone through in, for less memory; the gradient is the whole's."""
    best: str = ""
    """Score, as metrics.jsonl names it (sts/STSBenchmark), whose highest value decides which parameters the run leaves;
    empty leaves the last ones."""
    patience: Count = 0
    """Evaluations without a higher score after which training ends; 0 goes on to the last batch."""


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How devices are laid out; the product is the number of devices."""

    data: Annotated[int, Range(at_least=-1)] = -1
    """Devices along which a batch is split; -1 takes all that the other axes leave."""
    fsdp: Positive = 1
    """Devices along which parameters (and the batch) are split."""
    tensor: Positive = 1
    """Devices along which the width of a layer or table is split."""


@dataclasses.dataclass(frozen=True)
class Processes:
    """Several processes in one run. Slurm, Cloud TPU and Kubernetes are detected when coordinator is `auto`."""

    coordinator: str = ""
    """HOST:PORT of process 0, `auto`, or empty for a single process."""
    count: Positive = 1
    """Processes in all."""
    index: Count = 0
    """Which of them this is, from 0."""
    seconds: AboveZero = 300.0
    """Seconds to wait for the others at the start."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What is kept to resume from."""

    seconds: Amount = 300.0
    """Seconds between checkpoints; 0 saves at the end only. The last state is always saved."""
    steps: Count = 0
    """Batches between checkpoints, instead of seconds; 0 goes by seconds."""
    keep: Positive = 2
    """Checkpoints kept, the newest."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluators inside training."""

    every: Count = 0
    """Batches between evaluations; 0 evaluates at the end only."""
    tasks: tuple[Literal["analogies", "similarity", "python_docs", "sts", "sts-b", "sts-b-dev", "pairs",
                         "classification", "clustering", "classes", "regression", "tags", "answers", "entities",
                         "retrieval", "documentation", "senteval", "perplexity", "glue-cola", "glue-sst-2",
                         "glue-mrpc", "glue-sts-b", "glue-qqp", "glue-mnli", "glue-qnli", "glue-rte"], ...] = ()
    """What the model is measured by."""
    text: str = ""
    """File whose perplexity is measured (of a masked model the pseudo-perplexity), from here or from
    $EMBEDDINGS_DATA."""
    stride: Count = 0
    """Tokens between the windows of a causal model; 0 takes half of its length."""
    vocabulary: Count = 30000
    """Most frequent words that analogy questions and answers are taken from; 0 takes all."""
    neighbours: tuple[str, ...] = ()
    """Words whose nearest neighbours are printed at the end."""


@dataclasses.dataclass(frozen=True)
class Ablate:
    """Attention heads ablated inside training: what the score of a task changes by without each, and with the best
    alone in its layer, goes to metrics."""

    task: str = ""
    """What heads are ablated on, as in embeddings.ablate, or dependencies, which heads are to find; empty ablates
    none."""
    text: str = ""
    """File that the tasks perplexity and masked-lm are of, a line an item, or treebank of dependencies, from here or
    from $EMBEDDINGS_DATA."""
    every: Count = 0
    """Batches between two ablations; 0 ablates at the end only."""
    resamples: Positive = 1000
    """Draws of the bootstrap that tells which heads are significant."""


@dataclasses.dataclass(frozen=True)
class Log:
    """What is written down on the way."""

    seconds: Amount = 2.0
    """Seconds between progress lines."""
    metrics: Positive = 10
    """Batches between lines of metrics.jsonl."""
    tensorboard: bool = False
    """Whether metrics go to RUN/tensorboard too (extra [tensorboard])."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a paper's table that a run is held against, by python -m embeddings.reproduce."""

    name: str = ""
    """What the row is called; empty where the experiment is no row of a table."""
    table: str = ""
    """Paper and table."""
    scores: tuple[str, ...] = ()
    """Scores, as metrics.jsonl names them; shown times 100, but for perplexities and bits."""
    published: tuple[float, ...] = ()
    """Their published values as they are shown, in the same order; empty where none were."""
    source: str = ""
    """Where the published values were read."""
    sure: Literal["seen", "recalled"] = "seen"
    """Whether the values were seen in the source, or recalled and not read again."""
    reference: Literal["", "gensim", "fasttext", "sentence_transformers"] = ""
    """The implementation that is run beside ours, on the same data with the same settings."""
    model: str = ""
    """Model that is measured, a path or a name; empty trains one by the other flags."""
    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = ()
    """How that model's states of tokens become one vector; empty leaves it as its folder says."""
    seeds: tuple[Count, ...] = (0,)
    """Seeds of the runs that ours is the mean of."""
    hours: Amount = 0.0
    """Hours that a run is expected to take, on the hardware that the file's head names; 0 where nobody knows."""
    fetch: str = ""
    """What is to be fetched for it, and where, where it is not on every machine."""
