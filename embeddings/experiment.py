"""The whole experiment as one tree of frozen dataclasses.

Everything that decides a run's result is a field here, with its unit in the docstring below it. The absl flags are
made from this tree and nowhere else: a field of Experiment is `--name`, a field of a part is `--part.name`. What a
field may hold is said by its type; what must hold between fields, by Experiment.validate.
"""
import dataclasses
import hashlib
from typing import Annotated, Literal

from embeddings.fields import AboveZero, Amount, Count, Decay, Positive, Range, Share
from embeddings.flags import texts
from embeddings.problems import UsageProblem

ASIDE = frozenset({"run", "export", "mesh", "processes", "checkpoint", "evaluate", "ablate", "row", "log"})
"""Fields and parts that decide where and how a run is done, not what its vectors are."""

DENSE = frozenset({"adaptive_softmax", "softmax"})
"""Losses whose gradient touches every row."""


@dataclasses.dataclass(frozen=True)
class Text:
    """How files become lines of words."""

    tokenizer: Literal["words", "whitespace"] = "words"
    """words: runs of letters, marks and digits; whitespace: whatever stands between blanks."""
    lower: bool = True
    """Whether upper case is folded to lower case."""
    field: tuple[str, ...] = ("text",)
    """Columns of .jsonl and .parquet records to read, in this order."""
    invalid_utf8: Literal["error", "replace"] = "error"
    """What to do with bytes that are not UTF-8: error, or replace (by U+FFFD, counted)."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Which words have a vector."""

    min_count: Positive = 5
    """Words seen less often than this are left out."""
    max_size: Count = 0
    """Keep at most this many words, the most frequent ones; 0 keeps all."""


@dataclasses.dataclass(frozen=True)
class Word2Vec:
    """Skip-gram and CBOW (Mikolov et al. 2013)."""

    algorithm: Literal["skipgram", "cbow"] = "skipgram"
    """Whether a centre predicts each word around it (skipgram), or their mean predicts the centre (cbow)."""
    loss: Literal["negative_sampling", "nce", "hierarchical_softmax", "adaptive_softmax", "softmax"] = (
        "negative_sampling"
    )
    """What a predicted word is scored against: drawn noise words (negative_sampling; nce with their probabilities), the
    turns on its way down a Huffman tree, clusters of words by frequency, or all words. The first three update rows."""
    clusters: Positive = 2
    """Clusters of rare words of an adaptive softmax; they begin where that costs least."""
    mean_gradient: Literal["authors", "exact"] = "authors"
    """What each row of a mean gets of its gradient: all of it, as the authors' programs do, or its share."""
    width: Positive = 100
    """Length of a word vector, D."""
    window: Positive = 5
    """Words to each side of a centre at most; the reach of a centre is drawn uniformly from 1 to this."""
    negatives: Positive = 5
    """Noise words a pair, k."""
    noise_power: Amount = 0.75
    """Noise words are drawn from counts to this power."""
    subsample: Share = 1e-3
    """Words more frequent than this share of the corpus are dropped at random; 0 drops none."""
    burst: Annotated[int, Range(at_least=0, below=64)] = 4
    """A word is kept at most this often among 64 consecutive kept words, so that no step gets too long; 0 keeps all."""
    block: Positive = 32
    """Consecutive centres that share their noise words, B."""
    shared_negatives: Positive = 64
    """Noise words drawn for a block, N; each is weighted so that a pair sees k in expectation."""
    chunk: Positive = 64
    """Kept words an update: a multiple of block."""


@dataclasses.dataclass(frozen=True)
class FastText(Word2Vec):
    """Skip-gram and CBOW over words and their character n-grams (Bojanowski et al. 2017). Settings as of word2vec."""

    min_ngram: Positive = 3
    """Shortest n-gram, in characters; the word's ends count as one each."""
    max_ngram: Count = 6
    """Longest n-gram, in characters; 0 makes no n-grams."""
    buckets: Positive = 2_000_000
    """Rows that n-grams share by their hash."""
    position_weights: bool = False
    """Whether each place of a CBOW window has a trained weight of its own (Mikolov et al. 2018)."""


@dataclasses.dataclass(frozen=True)
class Glove:
    """GloVe (Pennington et al. 2014), from counts of words seen together."""

    width: Positive = 100
    """Length of a word vector, D."""
    window: Positive = 15
    """Words to each side at most that a word is counted with."""
    symmetric: bool = True
    """Whether words after it are counted too, or only those before it."""
    distance_weighting: bool = True
    """Whether a pair at distance d counts 1/d, or 1."""
    x_max: AboveZero = 100.0
    """Count from which on a pair has full weight."""
    alpha: Amount = 0.75
    """Exponent of the weight below x_max."""
    chunk: Positive = 512
    """Pairs an update."""


@dataclasses.dataclass(frozen=True)
class Pieces:
    """How text becomes pieces of words, for models of running text."""

    path: str = ""
    """Folder or file of a tokenizer; empty makes one of the corpus, or takes that of --start_from."""
    kind: Literal["wordpiece", "bpe", "unigram", "sentencepiece_bpe"] = "wordpiece"
    """What is made: BERT's, GPT-2's (of bytes), or sentencepiece's two."""
    size: Positive = 30000
    """Tokens of the vocabulary, at most."""
    lower: bool = True
    """Whether upper case is folded."""
    sample: Count = 200
    """Megabytes of the corpus that a tokenizer is made of; 0 takes all."""


@dataclasses.dataclass(frozen=True)
class Transformer:
    """A Transformer (Vaswani et al. 2017)."""

    layers: Positive = 12
    """Layers, L."""
    width: Positive = 768
    """Length of a state, D."""
    heads: Positive = 12
    """Attention heads of a layer, H; they divide the width."""
    feed_forward: Positive = 3072
    """Inner units of the feed-forward network, F."""
    length: Positive = 128
    """Tokens of a row in training, T."""
    positions: Positive = 512
    """Tokens of a text that the model can read, at most."""
    dropout: Decay = 0.1
    """Share of what a sub-layer gives that is dropped."""
    attention_dropout: Decay = 0.1
    """Share of attention weights that are dropped."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; parameters are float32."""
    remat: bool = False
    """Whether layers are computed again on the way back, which takes less memory and more time."""


@dataclasses.dataclass(frozen=True)
class Bert(Transformer):
    """BERT (Devlin et al. 2019), trained on masked words; without the prediction of next sentences, as RoBERTa."""

    masked: Share = 0.15
    """Share of a row's tokens that are predicted."""


@dataclasses.dataclass(frozen=True)
class Gpt(Transformer):
    """GPT-2 (Radford et al. 2019), trained on each next word."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of texts, for models of sentences."""

    sets: tuple[str, ...] = ("python_docs",)
    """Known sets by name (pairs and triplets: python_docs, snli, snli-entailment, snli-triplets, stsb, mrpc,
    mrpc-paraphrases, quora, flickr8k; texts with a class: sst2, sst5, trec, banking77), or files: .jsonl, .csv, .tsv,
    .parquet."""
    weights: tuple[float, ...] = ()
    """How much of a batch each set gives; empty goes by their sizes."""
    columns: tuple[str, ...] = ("text1", "text2")
    """Columns of files that hold an example's texts."""
    label: str = ""
    """Column of files that holds its class or score; empty where a loss needs none."""
    classes: tuple[str, ...] = ()
    """Classes in order; empty takes those that are found, sorted."""
    broken: Literal["error", "skip"] = "error"
    """What to do with a row that is not as it should be: error, or skip (counted)."""
    distinct: bool = True
    """Whether an example is left out of a batch for a text that is there already, where others are wrong answers."""


@dataclasses.dataclass(frozen=True)
class SentenceBert(Transformer):
    """Sentence-BERT (Reimers and Gurevych 2019); sizes are those of a model that starts at random."""

    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = ("mean",)
    """How states of tokens become one vector; the vectors of several stand side by side."""
    dense: tuple[Positive, ...] = ()
    """Widths of tanh layers after pooling."""
    normalize: bool = False
    """Whether vectors are scaled to length 1."""
    loss: Literal["in_batch", "simcse", "softmax", "cosine", "triplet", "contrastive"] = "in_batch"
    """What is trained: to find each example's second text among those of the batch (in_batch; simcse: the text itself
    under other dropout), its class (softmax), its score (cosine), or distances (triplet; contrastive)."""
    parts: tuple[Literal["u", "v", "|u-v|", "u*v"], ...] = ("u", "v", "|u-v|")
    """What of two vectors stands side by side for the softmax; u alone classifies single texts."""
    temperature: Annotated[float, Range(above=0)] = 0.05
    """Cosines are divided by this (in_batch, simcse)."""
    learned_temperature: bool = False
    """Whether the temperature is trained, from there on."""
    symmetric: bool = False
    """Whether first texts are looked for as second texts are."""
    margin: AboveZero = 1.0
    """Of distances (triplet: Euclidean; contrastive: of cosines)."""
    matryoshka: tuple[Positive, ...] = ()
    """Widths whose first numbers are to be vectors of their own; empty trains the whole one only."""


@dataclasses.dataclass(frozen=True)
class UniversalSentenceEncoder(SentenceBert):
    """The Universal Sentence Encoder (Cer et al. 2018): sums of states by sqrt(n), then tanh layers."""

    encoder: Literal["transformer", "averaging"] = "transformer"
    """What gives states: a Transformer, or words and pairs of neighbours (the deep averaging network)."""
    buckets: Positive = 100_000
    """Rows that pairs of neighbours share (averaging)."""
    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = (
        "mean_sqrt_len_tokens",
    )
    """How states of tokens become one vector."""
    dense: tuple[Positive, ...] = (512,)
    """Widths of tanh layers after pooling."""


@dataclasses.dataclass(frozen=True)
class Tune:
    """Which parameters of a contextual model are trained."""

    layers: Annotated[int, Range(at_least=-1)] = -1
    """Last layers that are trained; the others stay, and so do tables of embeddings. -1 trains all."""
    only: Literal["all", "embeddings", "norms"] = "all"
    """Whether only tables of embeddings, or only the norms' scales and biases, are trained of the encoder."""
    decay: Annotated[float, Range(above=0, at_most=1)] = 1.0
    """Each layer's rate as a share of the one's above it; embeddings come below the first."""


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
                         "classification", "clustering", "classes", "entities", "retrieval", "documentation",
                         "senteval"], ...] = ()
    """What the vectors are measured by."""
    vocabulary: Count = 30000
    """Most frequent words that analogy questions and answers are taken from; 0 takes all."""
    neighbours: tuple[str, ...] = ()
    """Words whose nearest neighbours are printed at the end."""


@dataclasses.dataclass(frozen=True)
class Ablate:
    """Attention heads ablated inside training: what the score of a task changes by without each goes to metrics."""

    task: str = ""
    """What heads are ablated on, as in embeddings.ablate; empty ablates none."""
    text: str = ""
    """File that the tasks perplexity and masked-lm are of, a line an item."""
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
    """Scores, as metrics.jsonl names them; shown times 100."""
    published: tuple[float, ...] = ()
    """Their published values, times 100, in the same order; empty where none were."""
    source: str = ""
    """Where the published values were read."""
    sure: Literal["seen", "recalled"] = "seen"
    """Whether the values were seen in the source, or recalled and not read again."""
    reference: Literal["", "gensim", "fasttext", "sentence_transformers"] = ""
    """The implementation that is run beside ours, on the same data with the same settings."""
    model: str = ""
    """Model that is measured, a path or a name; empty trains one by the other flags."""
    seeds: tuple[Count, ...] = (0,)
    """Seeds of the runs that ours is the mean of."""
    hours: Amount = 0.0
    """Hours that a run is expected to take, on the hardware that the file's head names; 0 where nobody knows."""
    fetch: str = ""
    """What is to be fetched for it, and where, where it is not on every machine."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, from text to vectors."""

    architecture: Literal[
        "word2vec", "fasttext", "glove", "bert", "gpt", "sentence_bert", "universal_sentence_encoder"
    ] = "word2vec"
    """What is trained."""
    corpus: str = "python_docs"
    """A known corpus by name, or a file, folder or glob of .txt .gz .xz .zst .jsonl .parquet files."""
    run: str = ""
    """Folder that this run is written to; a run that was cut off is resumed from it."""
    export: str = ""
    """Folder that a trained Transformer is also written to, as sentence-transformers opens it, with a model card."""
    start_from: str = ""
    """What training starts from, a path or a name: words in common with a file of vectors or a run's folder start from
    theirs; a contextual model goes on from its folder. Empty starts at random."""
    seed: Annotated[int, Range(at_least=0, below=2**32)] = 0
    """Seed of everything that is drawn."""
    text: Text = Text()
    vocabulary: Vocabulary = Vocabulary()
    word2vec: Word2Vec = Word2Vec()
    fasttext: FastText = FastText()
    glove: Glove = Glove()
    pieces: Pieces = Pieces()
    bert: Bert = Bert()
    gpt: Gpt = Gpt()
    examples: Examples = Examples()
    sentence_bert: SentenceBert = SentenceBert()
    universal_sentence_encoder: UniversalSentenceEncoder = UniversalSentenceEncoder()
    tune: Tune = Tune()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    mesh: Mesh = Mesh()
    processes: Processes = Processes()
    checkpoint: Checkpoint = Checkpoint()
    evaluate: Evaluate = Evaluate()
    ablate: Ablate = Ablate()
    row: Row = Row()
    log: Log = Log()

    @property
    def model(self) -> Word2Vec | FastText | Glove | Transformer:
        """The settings of the architecture that is trained."""
        return getattr(self, self.architecture)

    @property
    def unused(self) -> tuple[str, ...]:
        """Parts that do nothing with the architecture, beside those of others."""
        unused = {"words": ("pieces", "tune", "examples"), "sequences": ("vocabulary", "examples")}
        return unused.get(self.level, ("vocabulary",))

    @property
    def level(self) -> Literal["words", "sequences", "sentences"]:
        """What is trained on: words and their neighbours, running text, or examples of texts."""
        if not self.contextual:
            return "words"
        return "sentences" if isinstance(self.model, SentenceBert) else "sequences"

    @property
    def by_rows(self) -> bool:
        """Whether an update touches some rows of the tables, not all parameters."""
        return not self.contextual and getattr(self.model, "loss", None) not in DENSE

    @property
    def contextual(self) -> bool:
        """Whether the model reads running text."""
        return isinstance(self.model, Transformer)

    def validate(self) -> None:
        """Raises UsageProblem, naming the flag, where fields contradict each other or a value is out of bounds."""
        texts(self)
        name = self.optimizer.name
        if self.architecture == "glove" and name != "adagrad":
            raise UsageProblem("--architecture=glove is trained by Adagrad: add --optimizer.name=adagrad")
        if self.by_rows and name not in ("sgd", "adagrad"):
            raise UsageProblem(f"--optimizer.name={name} needs dense gradients; choose sgd or adagrad, "
                               "or --word2vec.loss=softmax")
        if isinstance(self.model, Word2Vec):
            self._validate_windows(self.model)
        if isinstance(self.model, Transformer):
            self._validate_rows(self.model)
        if not self.text.field:
            raise UsageProblem("--text.field names no column to read")
        if self.train.replicas > 1 and (not self.by_rows or self.processes.coordinator or self.mesh != Mesh()):
            raise UsageProblem(f"--train.replicas={self.train.replicas} is for losses that update rows, in one process "
                               "with no mesh: leave it out, or leave those out")
        if self.train.best and not (self.evaluate.tasks and self.evaluate.every):
            raise UsageProblem(f"--train.best={self.train.best}: nothing is measured on the way: name --evaluate.tasks "
                               "and --evaluate.every")
        if self.ablate.task and (not self.contextual or getattr(self.model, "encoder", "") == "averaging"):
            raise UsageProblem(f"--ablate.task={self.ablate.task}: --architecture={self.architecture} has no attention "
                               "heads: leave it out")
        if bool(self.ablate.text) != (self.ablate.task in ("perplexity", "masked-lm")):
            raise UsageProblem(f"--ablate.task={self.ablate.task}: " + (
                "leave out --ablate.text" if self.ablate.text else "name a file of lines with --ablate.text"))
        if self.ablate.every and not self.ablate.task:
            raise UsageProblem("--ablate.every: on what? Name it with --ablate.task")
        if self.export and (not self.contextual or getattr(self.model, "encoder", "") == "averaging"):
            raise UsageProblem(f"--export={self.export} is for Transformers: leave it out (word vectors are written by "
                               "python -m embeddings.export)")
        if self.row.published and len(self.row.published) != len(self.row.scores):
            raise UsageProblem(f"--row.published has {len(self.row.published)} values for {len(self.row.scores)} "
                               "--row.scores: give one for each, or none")
        if self.row.name and not self.row.scores:
            raise UsageProblem(f"--row.name={self.row.name}: no metric: name what is compared with --row.scores")
        if self.train.patience and not self.train.best:
            raise UsageProblem("--train.patience: of which score? Name it with --train.best")
        if self.mesh.data == 0:
            raise UsageProblem("--mesh.data=0: a number of devices is needed, or -1 for all that are left")
        if self.processes.index >= self.processes.count:
            raise UsageProblem(f"--processes.index={self.processes.index} must be below --processes.count="
                               f"{self.processes.count}: processes are counted from 0")
        if self.processes.count > 1 and not self.processes.coordinator:
            raise UsageProblem("--processes.coordinator is needed for more than one process: HOST:PORT of process 0")
        place = self.processes.coordinator
        if place not in ("", "auto") and not place.rpartition(":")[2].isdecimal():
            raise UsageProblem(f"--processes.coordinator={place}: write HOST:PORT of process 0, or auto")

    def _validate_rows(self, model: Transformer) -> None:
        part = self.architecture
        if model.width % model.heads and getattr(model, "encoder", "") != "averaging":
            raise UsageProblem(f"--{part}.heads={model.heads} must divide --{part}.width={model.width}")
        if not 8 <= model.length <= model.positions:
            raise UsageProblem(f"--{part}.length={model.length} must be from 8 to --{part}.positions={model.positions}")
        if self.level == "sentences":
            self._validate_sentences(model)
        elif self.train.batch < model.length * self.train.chunks:
            raise UsageProblem(f"--train.batch={self.train.batch} tokens hold less than a row of {model.length} for "
                               f"each of --train.chunks={self.train.chunks}: raise it")
        if isinstance(model, Bert) and model.masked <= 0:
            raise UsageProblem("--bert.masked=0 leaves nothing to predict")

    def _validate_sentences(self, model: SentenceBert) -> None:
        part = self.architecture
        if not self.examples.sets:
            raise UsageProblem("--examples.sets is empty: name a set or a file")
        if self.examples.weights and len(self.examples.weights) != len(self.examples.sets):
            raise UsageProblem(f"--examples.weights has {len(self.examples.weights)} numbers for "
                               f"{len(self.examples.sets)} --examples.sets")
        if any(weight <= 0 for weight in self.examples.weights):
            raise UsageProblem("--examples.weights must be above 0")
        width = model.dense[-1] if model.dense else len(model.pooling) * model.width
        for size in model.matryoshka:
            if size > width and not self.start_from:
                raise UsageProblem(f"--{part}.matryoshka={size} is above the width of a vector, {width}")
        if model.loss in ("in_batch", "simcse") and self.train.batch < 2:
            raise UsageProblem(f"--train.batch={self.train.batch}: a batch needs two examples, or no answer is wrong")

    def _validate_windows(self, model: Word2Vec) -> None:
        part = self.architecture
        if model.chunk % model.block:
            raise UsageProblem(f"--{part}.chunk={model.chunk} is no multiple of --{part}.block={model.block}")
        if not isinstance(model, FastText):
            return
        if model.loss not in ("negative_sampling", "nce"):
            raise UsageProblem(f"--fasttext.loss={model.loss} does not go with n-grams: choose negative_sampling, nce, "
                               "or --architecture=word2vec")
        if 0 < model.max_ngram < model.min_ngram:
            raise UsageProblem(f"--fasttext.max_ngram={model.max_ngram} is below --fasttext.min_ngram="
                               f"{model.min_ngram}: raise it, or set it to 0 for no n-grams")
        if model.position_weights and model.algorithm != "cbow":
            raise UsageProblem("--fasttext.position_weights goes with --fasttext.algorithm=cbow only")


def fingerprint(experiment: Experiment) -> str:
    """SHA-256, in hexadecimal, of every flag that decides the result. Raises Problem for a value no flag can hold."""
    return hashlib.sha256("".join(f"--{n}={text}\n" for n, text in _deciding(experiment).items()).encode()).hexdigest()


def differences(stored: Experiment, wanted: Experiment) -> list[str]:
    """The flags that decide the result and differ, as `--seed=0 instead of 1`; empty where a run can go on."""
    first, second = _deciding(stored), _deciding(wanted)
    return [f"--{name}={text} instead of {second[name]}" for name, text in first.items()
            if name in second and text != second[name]]


def _deciding(experiment: Experiment) -> dict[str, str]:
    return {name: text for name, text in texts(experiment).items() if name.partition(".")[0] not in ASIDE}
