"""What is installed, and why each dependency is there."""
import setuptools

REQUIRED = [
    "jax>=0.10.2",  # every model, loss and training step
    "flax>=0.12",  # the layers of contextual models are Linen modules
    "optax>=0.2.8",  # dense optimizers and their schedules
    "orbax-checkpoint>=0.12",  # sharded checkpoints that restore on another mesh
    "absl-py>=2.3",  # flags and flag files
    "numpy>=2.0",  # batches on the host
    "scipy>=1.13",  # distances and statistics; jax brings it along
    "scikit-learn>=1.5",  # what the field's protocols are made of: logistic regression, k-means, average precision
    "threadpoolctl>=3.5",  # its fits on one thread each; scikit-learn brings it along
    "pyarrow>=20",  # words counted and numbered in C++ on all cores; .parquet and .zst
    "h5py>=3.10",  # ELMo's weights
    "jaxtyping>=0.3.2",  # shapes in signatures
    "safetensors>=0.5",  # weights of contextual models
    "tokenizers>=0.22",  # WordPiece, byte-level BPE and what tokenizer.json holds, in Rust on all cores
    "sentencepiece>=0.2.2",  # .model files; estimates unigram vocabularies
]
TENSORBOARD = ["tensorboardX>=2.6"]  # metrics as TensorBoard reads them, without TensorFlow
RETRIEVAL = [  # BM25 beside retrieval: for comparison only, so that nobody has to install it
    "bm25s>=0.2.14",
    "PyStemmer>=2.2",  # its stemmer, without which BM25 is too weak an opponent
]
MTEB = ["mteb>=2"]  # its benchmark on any model here (evaluation/mteb.py); brings torch
PLOTS = ["matplotlib>=3.10"]  # heat maps as pictures
TEST = [
    "pytest>=8.3",
    "pytest-xdist>=3.6",  # tests on all cores
    "beartype>=0.20",  # checks the shapes in signatures while tests run
    "ruff>=0.12",  # lint
    *TENSORBOARD,  # its sink is tested
    *RETRIEVAL,  # its rankings are tested
]
REFERENCE = [
    "gensim>=4.4",  # word2vec, its files, and the evaluations of word vectors
    "fasttext-wheel>=0.9.2",  # fastText's n-grams, files and training; built, where `fasttext` wants a compiler
    "pytrec_eval-terrier>=0.5.6",  # trec_eval's measures of rankings
    "seqeval>=1.2.2",  # entity F1
    "transformers>=5",  # tokenizers, slow ones too; weights of each family; opens what is saved
    "torch==2.13.0",  # what it computes with; its CPU build is enough
    "sentence-transformers>=6",  # pooling and whole folders
]
PEERS = [
    "gensim>=4.4",  # the fastest word2vec for Python
    "fasttext-wheel>=0.9.2",  # the authors' program
    "matplotlib>=3.10",  # draws what was measured
    "sentence-transformers[train]>=6",  # sentence vectors, and their training
]
TPU = ["jax[tpu]"]  # the TPU's runtime and compiler; the compiler needs no TPU
CUDA = ["jax[cuda13]"]  # NVIDIA GPUs

setuptools.setup(
    name="embeddings",
    version="0.1.0",
    description="Train, reproduce and dissect text embeddings in JAX",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=setuptools.find_packages(include=["embeddings", "embeddings.*"]),
    package_data={"embeddings": ["evaluation/*.txt"]},
    install_requires=REQUIRED,
    extras_require={
        "test": TEST,
        "reference": REFERENCE,
        "peers": PEERS,
        "tpu": TPU,
        "cuda": CUDA,
        "tensorboard": TENSORBOARD,
        "retrieval": RETRIEVAL,
        "mteb": MTEB,
        "plots": PLOTS,
    },
)
