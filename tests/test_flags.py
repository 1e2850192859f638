"""Flags made from dataclasses, the strict reader of flag files, and the committed flag files themselves."""
import dataclasses
import random
import re
import typing
from pathlib import Path
from typing import Annotated, Literal

import pytest
from absl import flags as absl_flags

from embeddings import experiment, fields, flagfile, flags, spelling
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
COMMITTED = sorted(path.relative_to(ROOT) for path in (ROOT / "experiments").rglob("*.flags"))


@dataclasses.dataclass(frozen=True)
class Bird:
    """A part."""

    wings: fields.Positive = 2
    """How many
    wings."""


@dataclasses.dataclass(frozen=True)
class Fish:
    """Another part."""

    fins: int = 7


@dataclasses.dataclass(frozen=True)
class Zoo:
    """A tree with every type that a flag can have."""

    keeper: str
    """Who feeds them."""
    architecture: Literal["bird", "fish"] = "bird"
    """Which."""
    names: tuple[str, ...] = ("a", "b")
    sizes: tuple[int, ...] = ()
    rates: tuple[float, ...] = (0.5,)
    kinds: tuple[Literal["big", "small"], ...] = ()
    open: bool = True
    limit: int | None = None
    share: Annotated[float, fields.Range(above=0, below=1)] = 0.5
    bird: Bird = Bird()
    fish: Fish = dataclasses.field(default_factory=Fish)


def zoo(*arguments, **options):
    return flags.parse(["--keeper=Ann", *arguments], Zoo, **options)[0]


def refusal(*arguments, cls=Experiment, **options) -> str:
    with pytest.raises(UsageProblem) as caught:
        flags.parse(arguments, cls, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_type_is_read():
    given = zoo("--names=x, y", "--sizes=1,-2", "--rates=1e-3,2", "--kinds=small,big", "--noopen", "--limit=3",
                "--share=.25", "--bird.wings", "4")
    assert given == Zoo("Ann", "bird", ("x", "y"), (1, -2), (0.001, 2.0), ("small", "big"), False, 3, 0.25, Bird(4))
    assert zoo() == Zoo("Ann")
    assert zoo("--names=", "--limit=") == Zoo("Ann", names=(), limit=None)
    assert [zoo(f"--open={text}").open for text in ("true", "False", "1", "0")] == [True, False, True, False]
    assert zoo("--noopen", "--open").open is True


@pytest.mark.parametrize(("argument", "reason"), [
    ("--bird.wings=0", "at least 1"), ("--bird.wings=2.0", "whole number"), ("--bird.wings=", "whole number"),
    ("--bird.wings=99999999999999999999", "64 bits"), ("--share=nan", "finite"), ("--share=1e999", "finite"),
    ("--share=1", "below 1"), ("--share=half", "a number"), ("--open=yes", "true or false"),
    ("--architecture=brid", "one of bird, fish; did you mean bird?"), ("--kinds=big,tall", "one of big, small"),
    ("--names=a,,b", "between two commas"), ("--sizes=1,x", "whole number"), ("--keeper='Ann'", "no quotes"),
    ("--keeper=Ann ", "no blanks"), ("--keeper=An\nn", "control"), ("--keeper=A #b", "' #'"),
    ("--keeper=\udcff", "UTF-8"),
])
def test_a_bad_value_is_refused_with_its_flag_and_what_is_allowed(argument, reason):
    message = refusal("--keeper=Ann", argument, cls=Zoo)
    assert message.startswith(argument.replace("\n", "\\n").replace("\udcff", "\\udcff"))
    assert reason in message


def test_what_is_not_a_flag_is_refused():
    assert refusal("--width=3") == "there is no flag --width; did you mean --word2vec.width? (--help lists all)"
    assert "did you mean --vocabulary.min_count?" in refusal("--min-count=3")
    assert "did you mean --notext.lower?" in refusal("--notext.lowr")
    assert refusal("--xyzzyqqq") == "there is no flag --xyzzyqqq (--help lists all)"
    assert "write --text.lower=false" in refusal("--text.lower", "false")
    assert "unexpected word 'false'" in refusal("--text.lower=true", "false")
    assert "takes no value; write --text.lower=true" in refusal("--notext.lower=true")
    assert "needs a value: --run=VALUE" in refusal("--run", "--seed=1")
    assert "needs a value" in refusal("--run")
    assert "two dashes" in refusal("-seed=1")
    assert "unexpected word 'x'" in refusal("--", "x")
    assert refusal(cls=Zoo) == "--keeper is needed: Who feeds them."


def test_positional_words_are_kept_where_they_are_declared():
    given, words, names = flags.parse(["king", "-", "man", "--seed", "3", "+", "--", "--woman"], Experiment, "WORD...")
    assert (given.seed, words, names) == (3, ["king", "-", "man", "+", "--woman"], {"seed"})
    assert "write --text.lower=false" in refusal("--text.lower", "false", positional="WORD...")
    assert "go after --" in refusal("king", "-man", positional="WORD...")
    assert flags.parse(["--text.lower", "king"], Experiment, "WORD...")[1] == ["king"]


def test_flags_of_an_architecture_that_is_not_selected_are_refused():
    assert zoo("--architecture=fish", "--fish.fins=3").fish == Fish(3)
    message = refusal("--keeper=Ann", "--fish.fins=3", cls=Zoo)
    assert message == ("--fish.fins does nothing with --architecture=bird; leave it out, or choose --architecture=fish")
    assert "fish" not in flags.resolved(Zoo("Ann")).replace("architecture=fish", "")
    assert "--fish.fins=7\n" in flags.resolved(zoo("--architecture=fish"))


def test_flags_are_defined_in_absl():
    values = absl_flags.FlagValues()
    flags.define(Zoo, values)
    assert values(["zoo", "--bird.wings=5", "--keeper", "Bo", "--noopen", "word"]) == ["zoo", "word"]
    assert (values["bird.wings"].value, values.keeper, values.open, values.names) == (5, "Bo", False, ("a", "b"))
    assert values["bird.wings"].help == "How many wings."
    assert {"--bird.wings=5", "--names=a,b", "--noopen"} <= set(values.flags_into_string().split("\n"))


def test_fields_that_no_flag_can_hold_are_our_mistake():
    @dataclasses.dataclass(frozen=True)
    class Wrong:
        table: dict[str, int] = dataclasses.field(default_factory=dict)

    with pytest.raises(TypeError, match="dict"):
        flags.parse([], Wrong)


def random_experiment(draw: random.Random) -> Experiment:
    """An experiment with every field drawn from what it may hold; of one architecture, as no flags hold two."""
    def one(kind: fields.Kind):
        if kind.choices:
            return draw.choice(kind.choices)
        if kind.scalar is str:
            pool = "az-=/*.:é字'\" #\u2028\n," if draw.random() < 0.05 else "az-=/*.:é字#"
            return "".join(draw.choice(pool) for _ in range(draw.randrange(1 if kind.many else 0, 6)))
        if kind.scalar is bool:
            return draw.random() < 0.5
        return kind.scalar(draw.choice((0, 1, -1, 3, 0.1, 1e-300, 1 / 3, 2**40 + 0.5, -(2**62))))

    def tree(cls, prefix=""):
        inner, leaf = fields.parts(cls), {field.name: field.kind for field in fields.leaves(cls)}
        return cls(**{field.name: tree(inner[field.name]) if field.name in inner else
                      tuple(one(leaf[field.name]) for _ in range(draw.randrange(3))) if leaf[field.name].many else
                      one(leaf[field.name]) for field in dataclasses.fields(cls)})

    drawn = tree(Experiment)
    return dataclasses.replace(drawn, **{name: getattr(Experiment(), name) for name in aside(drawn)})


def aside(experiment: Experiment) -> set[str]:
    """Parts that say nothing about an experiment."""
    architectures = set(typing.get_args(typing.get_type_hints(Experiment)["architecture"]))
    return architectures - {experiment.architecture} | set(experiment.unused)


def test_resolved_flags_round_trip_or_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Experiment, "validate", lambda self: None)
    # Values that no flag accepts would end nearly every draw: bounds have their own test.
    monkeypatch.setattr(fields.Range, "holds", lambda self, value: True)
    draw, written = random.Random(0), 0
    for number in range(40):
        drawn = random_experiment(draw)
        try:
            text = flags.resolved(drawn)
        except Problem as problem:
            assert str(problem).startswith("--")
            continue
        path = tmp_path / f"{number}.flags"
        path.write_text(text)
        assert flags.load(path, Experiment) == drawn
        assert flags.resolved(flags.load(path, Experiment)) == text
        written += 1
    assert 12 < written < 40


def test_resolved_holds_every_flag_once_in_the_order_of_the_parts():
    lines = flags.resolved(Experiment()).splitlines()
    names = [re.match(r"--([^=]+)=", line)[1] for line in lines]
    assert names == [field.name for field in fields.leaves(Experiment) if field.part not in aside(Experiment())]
    assert len(names) == len(set(names)) > 40
    heads = [name.rpartition(".")[0] for name in names]
    parts = [part for part in fields.parts(Experiment) if part not in aside(Experiment())]
    assert [head for n, head in enumerate(heads) if heads[n - 1:n] != [head]] == ["", *parts]


def test_every_field_of_the_experiment_says_what_it_is():
    for field in fields.leaves(Experiment):
        assert field.meaning.endswith("."), field.name
        assert field.kind.read(field.kind.write(field.default)) == field.default


@pytest.mark.parametrize(("arguments", "named"), [
    (["--optimizer.name=adam"], "--optimizer.name"), (["--word2vec.chunk=48"], "--word2vec.chunk"),
    (["--text.field="], "--text.field"), (["--mesh.data=0"], "--mesh.data"),
    (["--processes.index=1"], "--processes.index"),
    (["--processes.count=2"], "--processes.coordinator"), (["--vocabulary.min_count=0"], "--vocabulary.min_count"),
    (["--train.epochs=0"], "--train.epochs"), (["--optimizer.learning_rate=-1"], "--optimizer.learning_rate"),
    (["--seed=4294967296"], "--seed"), (["--evaluate.tasks=spelling"], "--evaluate.tasks"),
    (["--architecture=glove"], "--architecture=glove is trained by Adagrad: add --optimizer.name=adagrad"),
    (["--word2vec.loss=hierarchical_softmax", "--optimizer.name=adam"], "--optimizer.name=adam needs dense gradients"),
    *((["--architecture=fasttext", *flags], named) for flags, named in (
        (["--fasttext.loss=softmax", "--optimizer.name=adam"], "--fasttext.loss=softmax does not go with n-grams"),
        (["--fasttext.loss=hierarchical_softmax"], "--fasttext.loss=hierarchical_softmax does not go with n-grams"),
        (["--fasttext.min_ngram=5", "--fasttext.max_ngram=3"], "--fasttext.max_ngram=3 is below"),
        (["--fasttext.position_weights=true"], "--fasttext.position_weights goes with --fasttext.algorithm=cbow"),
        (["--fasttext.chunk=40"], "--fasttext.chunk=40 is no multiple of --fasttext.block=32"),
    )),
])
def test_an_experiment_that_cannot_be_is_refused_by_its_flag(arguments, named):
    assert refusal(*arguments).startswith(named)


def test_an_experiment_made_in_python_is_held_to_the_same_bounds():
    Experiment().validate()
    with pytest.raises(Problem, match=r"--word2vec\.width: must be at least 1"):
        Experiment(word2vec=experiment.Word2Vec(width=0)).validate()


def test_what_decides_the_result_is_told_from_what_does_not():
    first = Experiment()
    same = flags.parse(["--run=x", "--mesh.fsdp=2", "--log.seconds=9", "--evaluate.every=3", "--checkpoint.keep=5",
                        "--processes.coordinator=auto"], Experiment)[0]
    other = flags.parse(["--seed=1", "--optimizer.learning_rate=0.1"], Experiment)[0]
    assert experiment.fingerprint(first) == experiment.fingerprint(same) != experiment.fingerprint(other)
    assert re.fullmatch("[0-9a-f]{64}", experiment.fingerprint(first))
    assert experiment.fingerprint(first) != experiment.fingerprint(Experiment(architecture="fasttext"))
    said = flags.parse(["--seed=0", "--architecture=word2vec"], Experiment)[0]
    assert experiment.fingerprint(first) == experiment.fingerprint(said), "a default that is said is a default"
    assert experiment.differences(first, same) == []
    assert experiment.differences(first, other) == ["--seed=0 instead of 1",
                                                    "--optimizer.learning_rate=0.05 instead of 0.1"]


# Flag files


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))
    return path


@pytest.mark.parametrize(("line", "reason"), [
    ("seed=3", "a line is --flag=value"), ("-seed=3", "a line is --flag=value"), ("--", "a line is --flag=value"),
    ("// seed", "a line is --flag=value"), ("--seed=3 # lucky", "a comment needs a line of its own"),
    ("--seed=3  #lucky", "a comment needs a line of its own"), ("--seed 3", "write --seed=3"),
    ("--seed = 3", "no blanks around the ="), ("--seed= 3", "whole number"), ("--run= x", "no blanks"),
    ("--sed=3", "there is no flag --sed; did you mean --seed?"), ("--seed=x", "--seed=x: a whole number"),
    ("--seed", "needs a value"), ("--run='a'", "no quotes"), ("--help", "there is no flag --help"),
    ("--text.lower=maybe", "true or false"), ("--text.lower false", "write --text.lower=false"),
    ("--flagfile=", "names no file"), ("--flagfile=nowhere.flags", "there is no flag file nowhere.flags"),
    ("--flagfile=a.flags", "includes itself"), ("--corpus=again", "stands here twice, first as text8"),
])
def test_a_line_that_is_not_right_is_refused_with_file_and_line(tmp_path, line, reason):
    path = write(tmp_path / "a.flags", "# head", "", "--corpus=text8", line, "--train.steps=1")
    message = refusal(f"--flagfile={path}")
    assert message.startswith(f"{path}:4: ")
    assert reason in message


def test_a_good_flag_file_is_read(tmp_path):
    path = write(tmp_path / "a.flags", "# head", "  --seed=3  ", "", "--notext.lower", "--corpus=a b=c#d")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    given, _, names = flags.parse(["--flagfile", str(path)], Experiment)
    assert (given.seed, given.text.lower, given.corpus) == (3, False, "a b=c#d")
    assert names == {"seed", "text.lower", "corpus"}


def test_the_command_line_wins_wherever_it_stands_and_a_file_over_what_it_includes(tmp_path, monkeypatch):
    write(tmp_path / "deep/base.flags", "--seed=1", "--train.steps=1", "--log.metrics=1")
    path = write(tmp_path / "deep/row.flags", "--seed=2", "--log.metrics=2", "--flagfile=base.flags")
    later = write(tmp_path / "later.flags", "--log.metrics=3")
    given, *_ = flags.parse(["--seed=9", f"--flagfile={path}", f"--flagfile={later}"], Experiment)
    assert (given.seed, given.train.steps, given.log.metrics) == (9, 1, 3)
    write(tmp_path / "here/other.flags", "--train.steps=7")
    monkeypatch.chdir(tmp_path)
    outside = write(tmp_path / "deep/outside.flags", "--flagfile=here/other.flags")
    assert flags.load(outside, Experiment).train.steps == 7


def test_files_that_include_each_other_are_refused(tmp_path):
    write(tmp_path / "a.flags", "--flagfile=b.flags")
    write(tmp_path / "b.flags", "# head", "--flagfile=../" + tmp_path.name + "/a.flags")
    message = refusal(f"--flagfile={tmp_path}/a.flags")
    assert message.startswith(f"{tmp_path}/b.flags:2: {tmp_path}/a.flags includes itself")


def test_a_flag_of_another_architecture_in_a_file_is_refused_with_its_line(tmp_path):
    path = write(tmp_path / "a.flags", "--keeper=Ann", "--fish.fins=3")
    assert refusal(f"--flagfile={path}", cls=Zoo).startswith(f"{path}:2: --fish.fins does nothing")


def test_a_flag_file_that_is_not_there_or_not_one(tmp_path):
    write(tmp_path / "word2vec/enwiki_cbow.flags")
    hint = f"; did you mean {tmp_path}/word2vec/enwiki_cbow.flags?"
    for name in ("word2vec/enwiki_cbow", "word2vec/enwiki-cbow.flags", "enwiki_cbow.flags"):
        assert refusal(f"--flagfile={tmp_path}/{name}") == f"there is no flag file {tmp_path}/{name}{hint}"
    assert "is a folder" in refusal(f"--flagfile={tmp_path}")
    (tmp_path / "x").write_bytes(b"--seed=\xff")
    assert refusal(f"--flagfile={tmp_path}/x") == f"{tmp_path}/x: byte 7 is not UTF-8 text; is this a flag file?"
    assert refusal("--flagfile=") == "--flagfile names no file; write --flagfile=FILE"
    assert flagfile.find(str(tmp_path / "x")) == tmp_path / "x"


def test_the_nearest_word_is_found():
    assert spelling.nearest("widht", ["word2vec.window", "word2vec.width", "seed"]) == "word2vec.width"
    assert spelling.nearest("ENWIKI", ["brown", "enwik9"]) == "enwik9"
    assert spelling.nearest("zzz", ["brown", "enwik9"]) is None
    assert spelling.suggestion("zzz", []) == ""


# Golden files

REWRITE = "python tests/test_flags.py"


@pytest.mark.parametrize("path", COMMITTED, ids=str)
def test_a_committed_flag_file_resolves_as_recorded(path):
    golden = GOLDEN / path.relative_to("experiments")
    assert golden.is_file(), f"{golden} is missing; `{REWRITE}` writes it"
    now, recorded = flags.resolved(flags.load(ROOT / path, Experiment)), golden.read_text()
    changed = sorted(set(now.splitlines()) ^ set(recorded.splitlines()))
    assert now == recorded, (f"{path} resolves to something else: {changed}; if this is meant, `{REWRITE}`, and "
                             "where a default changed, raise experiment.DEFAULTS")
    text = (ROOT / path).read_text()
    assert text.startswith("# "), f"{path} begins with a comment that says what it is"


def test_no_recorded_configuration_is_left_over():
    recorded = {path.relative_to(GOLDEN) for path in GOLDEN.rglob("*.flags")}
    assert recorded == {path.relative_to("experiments") for path in COMMITTED}, f"`{REWRITE}` mends this"
    assert len(COMMITTED) >= 5


def rewrite() -> None:
    for stale in GOLDEN.rglob("*.flags"):
        stale.unlink()
    for path in COMMITTED:
        golden = GOLDEN / path.relative_to("experiments")
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(flags.resolved(flags.load(ROOT / path, Experiment)))


if __name__ == "__main__":
    rewrite()
