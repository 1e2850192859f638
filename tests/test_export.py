import sys

import commands
import jax.numpy as jnp
import numpy as np
import pytest

import embeddings
from embeddings import export, flags
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.experiment import Experiment, Word2Vec
from embeddings.export import Flags
from embeddings.formats import detection, fasttext_binary, text
from embeddings.formats.vectors import Vectors
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.subwords import Subwords
from embeddings.training import checkpoint, run_folder

FORMATS = ("word2vec", "word2vec_binary", "glove", "fasttext", "fasttext_binary")
WORDS = ("the", "naïve", "日本語", "caf\udce9")


@pytest.fixture
def held():
    return Vectors(WORDS, np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32))


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_format_becomes_every_other(tmp_path, held, source, target, capsys):
    text.write(tmp_path / "start.vec", held, header=True)
    export.main(Flags(str(tmp_path / "start.vec"), str(tmp_path / "a"), source), [])
    export.main(Flags(str(tmp_path / "a"), str(tmp_path / "b"), target), [])
    size = (tmp_path / "b").stat().st_size
    assert capsys.readouterr().out.splitlines()[1] == f"{tmp_path / 'b'}: 4 words, 7 dimensions, {target}, {size} bytes"
    assert detection.detect(tmp_path / "b") == {"fasttext": "word2vec"}.get(target, target)
    found = embeddings.load(tmp_path / "b")
    assert found.words == WORDS and found.vectors.tobytes() == held.vectors.tobytes()


def test_a_model_of_ngrams_keeps_them(tmp_path, held):
    random, cut = np.random.default_rng(1), Subwords(3, 4, 30)
    rows, buckets, output = (random.normal(size=(n, 7)).astype(np.float32) for n in (4, 30, 4))
    arguments = fasttext_binary.Arguments(7, bucket=30, minn=3, maxn=4)
    model = fasttext_binary.Model(arguments, WORDS, np.array([9, 8, 7, 6]), 50, rows, buckets, output)
    fasttext_binary.write(tmp_path / "a.bin", model)
    export.main(Flags(str(tmp_path / "a.bin"), str(tmp_path / "b.bin"), "fasttext_binary"), [])
    assert (tmp_path / "b.bin").read_bytes() == (tmp_path / "a.bin").read_bytes()
    export.main(Flags(str(tmp_path / "a.bin"), str(tmp_path / "b.vec")), [])
    assert np.array_equal(embeddings.load(tmp_path / "b.vec").vectors, embeddings.load(tmp_path / "a.bin").vectors)
    loaded = embeddings.load(tmp_path / "a.bin")
    made = fasttext_binary.Model.of(Vectors(WORDS, loaded.vectors, loaded.counts, cut, buckets))
    np.testing.assert_allclose(made.rows, rows, atol=1e-5)


def test_a_run_is_exported_with_its_settings(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    settings = Experiment(run=str(run), word2vec=Word2Vec(width=4, window=2, negatives=3))
    (run / run_folder.FLAGS).write_text(flags.resolved(settings))
    Vocabulary(("king", "queen"), np.array([7, 5]), 20).save(run / run_folder.VOCABULARY)
    table = jnp.arange(8.0).reshape(2, 4)
    saver = checkpoint.Checkpoints(run / run_folder.CHECKPOINTS, keep=1)
    saver.save(3, {"params": {"input": table, "output": -table}, "optimizer": (), "step": jnp.int32(3)})
    saver.close()
    export.main(Flags(str(run), str(tmp_path / "run.bin"), "fasttext_binary"), [])
    model = fasttext_binary.read(tmp_path / "run.bin")
    assert model.words == ("king", "queen") and model.counts.tolist() == [7, 5] and np.array_equal(model.rows, table)
    assert (model.arguments.ws, model.arguments.neg, model.arguments.model, model.arguments.bucket) == (2, 3, 2, 0)


@pytest.mark.parametrize(("name", "form", "written"), [
    ("a.vec", "", "fasttext"), ("a.txt", "", "word2vec"), ("a.bin", "", "word2vec_binary"),
    ("a.vec.gz", "", "fasttext"), ("a", "glove", "glove"), ("a.txt.gz", "glove", "glove"),
    ("a", "", "sentence_transformers"),
])
def test_the_format_of_a_name(name, form, written):
    asked = Flags("model", name, form)
    asked.validate()
    assert asked.written_as == written


@pytest.mark.parametrize(("name", "form", "says"), [
    ("a.dat", "", "the name tells no format"), ("a.gz", "", "only text is packed"),
    ("a.bin.gz", "", "only text is packed"), ("a.gz", "fasttext_binary", "only text is packed"),
])
def test_names_that_tell_no_format(name, form, says):
    with pytest.raises(UsageProblem, match=f"--output={name}: .*{says}"):
        Flags("model", name, form).validate()


def test_nothing_is_overwritten_unasked(tmp_path, held):
    for name in ("a.vec", "b.vec"):
        text.write(tmp_path / name, held, header=True)
    before = (tmp_path / "b.vec").read_bytes()
    asked = Flags(str(tmp_path / "a.vec"), str(tmp_path / "b.vec"), "glove")
    with pytest.raises(Problem, match=r"b\.vec: is there already: choose another name, or add --overwrite"):
        export.main(asked, [])
    assert (tmp_path / "b.vec").read_bytes() == before
    export.main(Flags(asked.model, asked.output, "glove", overwrite=True), [])
    assert (tmp_path / "b.vec").read_bytes() == before.partition(b"\n")[2]
    with pytest.raises(Problem, match=r"is there already: choose another name$"):
        export.main(Flags(asked.model, str(tmp_path), "glove", overwrite=True), [])
    with pytest.raises(Problem, match=r"no such folder: .*absent"):
        export.main(Flags(asked.model, str(tmp_path / "absent/b.vec")), [])
    with pytest.raises(Problem, match=r"missing: no such run folder or file of vectors"):
        export.main(Flags(str(tmp_path / "missing"), str(tmp_path / "c.vec")), [])


def test_a_word_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("the 1 2\n. . . 3 4\n")
    done = commands.run([sys.executable, "-m", "embeddings.export", "--model=a.txt", "--output=b.bin"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("export: b.bin: the word '. . .' is empty or has a blank or line end inside, which this "
                           "format cannot hold: choose --format=fasttext_binary\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
