"""The whole experiment as one tree of frozen dataclasses.

Everything that decides a run's result is a field here, with its unit in the docstring below it. The absl flags are
made from this tree and nowhere else: a field of Experiment is `--name`, a field of a part is `--part.name`. What a
field may hold is said by its type; what must hold between fields, by Experiment.validate.
"""
import dataclasses
import hashlib
from typing import Annotated, Literal

from embeddings.fields import Range
from embeddings.flags import texts
from embeddings.parts.runs import Ablate, Checkpoint, Evaluate, Log, Mesh, Optimizer, Processes, Row, Train
from embeddings.parts.sentences import Examples, SentenceBert, Tune, UniversalSentenceEncoder
from embeddings.parts.sequences import Bert, Gpt, Pieces, Transformer
from embeddings.parts.tokens import Reader, Tagger
from embeddings.parts.words import FastText, Glove, Text, Vocabulary, Word2Vec
from embeddings.problems import UsageProblem

ASIDE = frozenset({"run", "export", "mesh", "processes", "checkpoint", "evaluate", "ablate", "row", "log"})
"""Fields and parts that decide where and how a run is done, not what its vectors are."""

DEFAULTS = 1
"""Raised when a default of a flag that decides a result changes, which tests/test_flags.py sees: what was done with the
old one is then done again."""

DENSE = frozenset({"adaptive_softmax", "softmax"})
"""Losses whose gradient touches every row."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, from text to vectors."""

    architecture: Literal[
        "word2vec", "fasttext", "glove", "bert", "gpt", "sentence_bert", "universal_sentence_encoder", "tagger",
        "reader",
    ] = "word2vec"
    """What is trained."""
    corpus: str = "python_docs"
    """A known corpus by name, or a file, folder or glob of .txt .gz .xz .zst .jsonl .parquet files."""
    run: str = ""
    """Folder that this run is written to; a run that was cut off is resumed from it."""
    export: str = ""
    """Folder that a trained Transformer is also written to, as sentence-transformers opens it, with a model card;
    a tagger or reader as transformers opens it with its head."""
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
    tagger: Tagger = Tagger()
    reader: Reader = Reader()
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
    def level(self) -> Literal["words", "sequences", "sentences", "tokens"]:
        """What is trained on: words and their neighbours, running text, examples of texts, or of texts whose tokens are
        marked."""
        if not self.contextual:
            return "words"
        if isinstance(self.model, Tagger | Reader):
            return "tokens"
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
        if bool(self.evaluate.text) != ("perplexity" in self.evaluate.tasks):
            raise UsageProblem(f"--evaluate.text={self.evaluate.text}: " + (
                "nothing is measured on it: add perplexity to --evaluate.tasks" if self.evaluate.text else
                "perplexity of which text? Name a file"))
        trained = not self.row.model  # else it is for that model to say
        if trained and self.evaluate.stride and (
            not isinstance(self.model, Gpt) or self.evaluate.stride > self.model.positions
        ):
            raise UsageProblem(f"--evaluate.stride={self.evaluate.stride}: is for --architecture=gpt, and at most its "
                               "--gpt.positions: leave it out or lower it")
        if self.train.best and not (self.evaluate.tasks and self.evaluate.every):
            raise UsageProblem(f"--train.best={self.train.best}: nothing is measured on the way: name --evaluate.tasks "
                               "and --evaluate.every")
        if trained and self.ablate.task and (not self.contextual or getattr(self.model, "encoder", "") == "averaging"):
            raise UsageProblem(f"--ablate.task={self.ablate.task}: --architecture={self.architecture} has no attention "
                               "heads: leave it out")
        if bool(self.ablate.text) != (self.ablate.task in ("perplexity", "masked-lm", "dependencies")):
            what = "a treebank" if self.ablate.task == "dependencies" else "a file of lines"
            raise UsageProblem(f"--ablate.task={self.ablate.task}: " + (
                "leave out --ablate.text" if self.ablate.text else f"name {what} with --ablate.text"))
        if self.ablate.every and not self.ablate.task:
            raise UsageProblem("--ablate.every: on what? Name it with --ablate.task")
        if self.export and (not self.contextual or getattr(self.model, "encoder", "") == "averaging"):
            raise UsageProblem(f"--export={self.export} is for Transformers: leave it out (word vectors are written by "
                               "python -m embeddings.export)")
        if self.train.patience and not self.train.best:
            raise UsageProblem("--train.patience: of which score? Name it with --train.best")
        self._validate_row()
        self._validate_processes()

    def _validate_row(self) -> None:
        if self.row.published and len(self.row.published) != len(self.row.scores):
            raise UsageProblem(f"--row.published has {len(self.row.published)} values for {len(self.row.scores)} "
                               "--row.scores: give one for each, or none")
        if self.row.name and not self.row.scores:
            raise UsageProblem(f"--row.name={self.row.name}: no metric: name what is compared with --row.scores")
        if self.row.pooling and not self.row.model:
            raise UsageProblem(f"--row.pooling={','.join(self.row.pooling)} is of --row.model: name one")

    def _validate_processes(self) -> None:
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
        if self.tune.elmo_layer >= 0 and (self.level == "sequences" or not self.start_from):
            raise UsageProblem(f"--tune.elmo_layer={self.tune.elmo_layer} is for a head on ELMo, which --start_from of "
                               "an architecture of sentences or tokens names: leave it out")
        if self.level in ("sentences", "tokens"):
            self._validate_examples()
        if self.level == "sentences":
            self._validate_sentences(model)
        elif self.level == "tokens":
            self._validate_tokens()
        elif self.train.batch < model.length * self.train.chunks:
            raise UsageProblem(f"--train.batch={self.train.batch} tokens hold less than a row of {model.length} for "
                               f"each of --train.chunks={self.train.chunks}: raise it")
        if isinstance(model, Bert) and model.masked <= 0:
            raise UsageProblem("--bert.masked=0 leaves nothing to predict")

    def _validate_tokens(self) -> None:
        given, default = self.examples, Examples()
        for name in ("columns", "label", "classes", "broken", "distinct"):
            if getattr(given, name) != getattr(default, name):
                raise UsageProblem(f"--examples.{name} is for examples of whole texts, which --architecture="
                                   f"{self.architecture} does not read: leave it out")

    def _validate_examples(self) -> None:
        if not self.examples.sets:
            raise UsageProblem("--examples.sets is empty: name a set or a file")
        if self.examples.weights and len(self.examples.weights) != len(self.examples.sets):
            raise UsageProblem(f"--examples.weights has {len(self.examples.weights)} numbers for "
                               f"{len(self.examples.sets)} --examples.sets")
        if any(weight <= 0 for weight in self.examples.weights):
            raise UsageProblem("--examples.weights must be above 0")

    def _validate_sentences(self, model: SentenceBert) -> None:
        part = self.architecture
        width = model.dense[-1] if model.dense else len(model.pooling) * model.width
        for size in model.matryoshka:
            if size > width and not self.start_from:
                raise UsageProblem(f"--{part}.matryoshka={size} is above the width of a vector, {width}")
        if model.joined and (model.loss not in ("softmax", "regression") or set(model.parts) != {"u"}):
            raise UsageProblem(f"--{part}.joined=true makes one vector of two texts: add --{part}.loss=softmax or "
                               f"regression, and --{part}.parts=u")
        if model.both_orders and not model.joined:
            raise UsageProblem(f"--{part}.both_orders=true is for two texts that are read as one: add --{part}.joined="
                               "true")
        if model.both_orders and self.export:
            raise UsageProblem(f"--export={self.export}: others' folders cannot say that pairs are read in both "
                               "orders: leave it out: the run's folder is what there is then")
        if model.joined and model.matryoshka:
            raise UsageProblem(f"--{part}.matryoshka is for vectors of single texts, which --{part}.joined=true does "
                               "not make: leave it out")
        if model.loss in ("in_batch", "simcse") and self.train.batch < 2:
            raise UsageProblem(f"--train.batch={self.train.batch}: a batch needs two examples, or no answer is wrong")
        if isinstance(model, UniversalSentenceEncoder) and (model.encoder != "averaging" or self.start_from):
            for flag, asked in (("idf", model.idf), ("sublinear", model.sublinear)):
                if asked:
                    raise UsageProblem(f"--{part}.{flag} is for averages of words that start at random: " + (
                        "leave it out" if self.start_from else f"add --{part}.encoder=averaging"))

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
    """SHA-256, in hexadecimal, of every flag that decides the result and is not as by default.

    So a flag that is new, and by default does nothing, leaves what was done before as it is. Raises Problem for a value
    that no flag can hold.
    """
    usual = _deciding(Experiment(architecture=experiment.architecture)) | {"architecture": ""}
    said = [f"--{name}={text}\n" for name, text in _deciding(experiment).items() if text != usual[name]]
    return hashlib.sha256("".join([f"defaults {DEFAULTS}\n", *said]).encode()).hexdigest()


def differences(stored: Experiment, wanted: Experiment) -> list[str]:
    """The flags that decide the result and differ, as `--seed=0 instead of 1`; empty where a run can go on."""
    first, second = _deciding(stored), _deciding(wanted)
    return [f"--{name}={text} instead of {second[name]}" for name, text in first.items()
            if name in second and text != second[name]]


def _deciding(experiment: Experiment) -> dict[str, str]:
    return {name: text for name, text in texts(experiment).items() if name.partition(".")[0] not in ASIDE}
