"""Steps compiled for pods that are not there; the marked tests with the real TPU compiler (extra [tpu]).

    python -m pytest -m tpu -s
"""
import functools
import importlib.util
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from cases import CASES, architecture, contextual, dense, sized, started
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import embeddings
from embeddings import experiment, flags
from embeddings.levels import planned
from embeddings.problems import UsageProblem
from embeddings.training import architectures, mesh, topology
from embeddings.training.architectures import fasttext

SLICES = {
    "v5e:2x4": ["--mesh.data=4", "--mesh.tensor=2"],
    "v5e:16x16": ["--mesh.data=64", "--mesh.fsdp=2", "--mesh.tensor=2"],
}
WORDS, WIDTH = 50000, 256


def plan(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "embeddings.plan", *arguments], capture_output=True, text=True, timeout=500
    )


@functools.cache
def ngrams():
    """Rows of n-grams in the table that is planned for fastText."""
    return len(fasttext.imagined(experiment.Experiment(architecture="fasttext"), WORDS)[1].buckets)


@pytest.mark.tpu
@pytest.mark.parametrize("slice_", SLICES)
@pytest.mark.parametrize("case", [case for case in CASES if not started(case)])  # a plan reads no model
def test_every_case_compiles_for_a_pod_and_no_table_travels(case, slice_):
    done = plan(f"--topology={slice_}", *SLICES[slice_], *sized(case, width=WIDTH, chunk=2048),
                f"--different_words={WORDS}", "--train.batch=8192")
    print(f"\n{case}\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert "fits in the 16 GiB of a chip" in done.stdout
    largest = [float(size) for size in re.findall(r"gives back ([\d.,]+) MiB", done.stdout)]
    if not dense(case):  # there a dense gradient is added up over the chips that split the batch
        rows = WORDS + (ngrams() if architecture(case) == "fasttext" else 0)
        own = rows * WIDTH * 4 / 2**20 / (2 if slice_ == "v5e:2x4" else 4)  # MiB of a table on a chip
        assert max(largest) < own * (2 if "adagrad" in case else 1) / 2


@pytest.mark.tpu
def test_a_slice_that_does_not_exist_is_refused():
    done = plan("--topology=v5e:3x9")
    assert done.returncode == 2
    assert done.stderr.startswith("plan: --topology=v5e:3x9: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is here")
def test_without_the_compiler_the_remedy_is_named():
    done = plan("--topology=v5e:2x4")
    assert done.returncode == 1
    assert done.stderr == "plan: the TPU compiler is missing: pip install 'embeddings[tpu]'\n"


def test_the_report_counts_what_travels():
    here = mesh.make(experiment.Mesh(data=8), jax.devices()[:8])
    rows = jax.ShapeDtypeStruct((64, 32), jnp.float32, sharding=NamedSharding(here, P("data")))
    step = jax.jit(lambda x: (jnp.sum(x, axis=0), x * 2))
    report = topology.report(step.lower(rows), 8)
    assert report.collectives == {"all-reduce": (1, 32 * 4)}
    assert report.state >= 64 * 32 * 4 / 8
    assert report.total == report.state + report.temporary + report.program


def test_a_planned_job_has_the_shapes_of_a_real_one():
    settings, _, _ = flags.parse(["--word2vec.width=8", "--train.batch=512"], experiment.Experiment)
    job = architectures.planned(settings, 1000, mesh.make(settings.mesh, jax.devices()[:1]))
    assert {leaf.shape for leaf in jax.tree.leaves(job.like()["params"])} == {(1000, 8)}
    assert np.shape(job.batches(0).ids) == (8, 2, 42)
    assert job.lower().compile().memory_analysis().argument_size_in_bytes > 2 * 1000 * 8 * 4


SOME = ("skip-gram, negative sampling, sgd", "GloVe, adagrad", "BERT, masked words, adamw")
# An objective that holds arrays cannot be lowered from shapes here: tests check the types of what it is made of.
LOWERED = [case for case in CASES if not started(case) and "nce" not in case and "hierarchical" not in case]


@pytest.mark.parametrize("case", [
    case if case in SOME else pytest.param(case, marks=pytest.mark.slow) for case in LOWERED
])
def test_a_run_of_another_length_rate_and_seed_takes_the_same_program(case):
    """So that it is found in the cache of compiled programs."""
    part = "" if not contextual(case) else f"--{architecture(case)}.dropout=0.1"
    programs = []
    for steps, warmup, rate, seed in ((10, 0.0, 0.05, 0), (70, 0.2, 0.01, 5)):
        settings, _, _ = flags.parse([
            *sized(case, width=8, chunk=64), *filter(None, [part]), "--train.batch=512", f"--train.steps={steps}",
            f"--seed={seed}", f"--optimizer.warmup={warmup}", f"--optimizer.learning_rate={rate}",
        ], experiment.Experiment)
        job = planned.job(settings, 300, mesh.make(settings.mesh, jax.devices()[:1]))
        programs.append(job.lower().as_text())
    assert programs[0] == programs[1]


@pytest.mark.parametrize("architecture", ["bert", "sentence_bert", "tagger"])
def test_a_plan_has_the_sizes_of_what_training_goes_on_from(architecture, tmp_path):
    small.saved(tmp_path / "bert")
    settings, _, _ = flags.parse([
        f"--architecture={architecture}", f"--start_from={tmp_path / 'bert'}", "--train.batch=64",
        "--optimizer.name=adamw", f"--{architecture}.length=16",
    ], experiment.Experiment)
    job = planned.job(settings, 1000, mesh.make(settings.mesh, jax.devices()[:1]))
    there, found = embeddings.load(tmp_path / "bert").params, job.like()["params"]["model"]
    found = found["model"] if architecture != "bert" else found
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, there)
    assert job.lower().compile().memory_analysis().argument_size_in_bytes > 0


def test_a_plan_of_words_that_texts_would_bring_is_refused(tmp_path):
    small.saved_elmo(tmp_path / "elmo")
    settings, _, _ = flags.parse(["--architecture=tagger", f"--start_from={tmp_path / 'elmo'}"], experiment.Experiment)
    with pytest.raises(UsageProblem, match="is no Transformer: its table has the words of the texts, which a plan"):
        planned.job(settings, 1000, mesh.make(settings.mesh, jax.devices()[:1]))


def test_a_job_says_when_devices_wait():
    settings, _, _ = flags.parse(["--word2vec.width=8", "--train.batch=512"], experiment.Experiment)
    notes = [architectures.planned(settings, 100, mesh.make(settings.mesh, jax.devices()[:n])).note for n in (1, 2, 8)]
    assert notes[:2] == ["", ""]
    assert notes[2].startswith("an update has 2 blocks for 8 devices along --mesh.data: some of them wait; raise")
