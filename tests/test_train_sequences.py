"""Models of running text through the real command, their perplexity measured on the way; and what is refused."""
import json
import os
import re
import sys

import commands
import numpy as np
import pytest

import embeddings
from embeddings import flags
from embeddings.evaluation import perplexity
from embeddings.experiment import Experiment
from embeddings.problems import UsageProblem

WORDS = [f"{a}{b}" for a in "bcdf" for b in "aeiou"]
SIZES = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "length": 16, "positions": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text in which each word is followed by one of two, and some more of it that is not trained on."""
    folder, draw = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    numbers = np.cumsum(1 + draw.integers(2, size=(400, 12)), axis=1) % len(WORDS)
    lines = [" ".join(WORDS[n] for n in row) for row in numbers]
    (folder / "text.txt").write_text("\n".join(lines[:380]))
    (folder / "held-out.txt").write_text("\n".join(lines[380:]))
    return folder


@pytest.mark.parametrize(("architecture", "unit"), [
    ("gpt", "stride 4"), pytest.param("bert", "pseudo", marks=pytest.mark.slow),
])
def test_perplexity_falls_and_is_that_of_the_run(folder, architecture, unit):
    run, held_out = folder / architecture, folder / "held-out.txt"
    sizes = [f"--{architecture}.{name}={size}" for name, size in SIZES.items()]
    stride = ["--evaluate.stride=4"] if architecture == "gpt" else []
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", f"--architecture={architecture}", f"--run={run}",
         f"--corpus={folder / 'text.txt'}", "--pieces.size=80", *sizes, "--train.batch=512", "--train.epochs=6",
         "--optimizer.name=adamw", "--optimizer.learning_rate=0.02", "--evaluate.tasks=perplexity",
         f"--evaluate.text={held_out}", "--evaluate.every=10", *stride],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = f"perplexity/held-out.txt perplexity by words {unit}"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = [row[name] for row in rows if name in row]
    assert len(values) > 2 and values[-1] < values[0] and values[-1] < len(WORDS) / 2, "by chance it is their number"
    again = perplexity.evaluate(embeddings.load(run), perplexity.read(held_out), 4 if stride else None)
    assert again.value("held-out.txt", "perplexity by words") == pytest.approx(values[-1], rel=1e-5)
    assert "perplexity by words" in done.stdout


@pytest.mark.parametrize(("more", "says"), [
    (["--evaluate.tasks=perplexity"], "perplexity of which text? Name a file"),
    (["--evaluate.text=a.txt"], "--evaluate.text=a.txt: nothing is measured on it"),
    (["--gpt.positions=512", "--evaluate.tasks=perplexity", "--evaluate.text=a.txt", "--evaluate.stride=600"],
     "--evaluate.stride=600: is for --architecture=gpt, and at most its --gpt.positions"),
    (["--architecture=bert", "--evaluate.tasks=perplexity", "--evaluate.text=a.txt", "--evaluate.stride=6"],
     "--evaluate.stride=6: is for --architecture=gpt"),
])
def test_a_perplexity_that_cannot_be_is_refused(more, says):
    with pytest.raises(UsageProblem, match=re.escape(says)):
        flags.parse(["--architecture=gpt", *more], Experiment)
