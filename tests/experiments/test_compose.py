"""Experiments: what composes, where each value comes from, and what is said of mistakes."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest
from hydra.core.global_hydra import GlobalHydra

from triptych.errors import OptionError, SpecError
from triptych.experiments.compose import compose
from triptych.experiments.read import Ready, read
from triptych.spec.document import locate

ASSEMBLE = "/conf/experiment/assemble.yaml"


def ready(name: str | Path, *words: str) -> Ready:
    return read(compose(str(name), words))


@pytest.fixture
def written(tmp_path: Path):
    """Writes an experiment's file, and files of groups beside it, and gives the experiment's path."""

    def write(text: str, **groups: str) -> Path:
        for path, content in {"experiment/mine": text, **{k.replace("__", "/"): v for k, v in groups.items()}}.items():
            file = tmp_path / "conf" / f"{path}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(content), encoding="utf-8")
        return tmp_path / "conf" / "experiment" / "mine.yaml"

    return write


WHOLE = """\
task: check
model: {base: llava}
"""


def test_an_option_of_a_group_takes_the_place_of_the_one_in_the_file() -> None:
    spec = ready("assemble", "tower=siglip", "projector=linear", "language_model=qwen2").spec
    assert spec["towers"]["image"]["spec"] == "siglip_vision"
    assert list(spec["projectors"]["image"]) == ["linear"]
    assert spec["language_model"]["spec"] == "qwen2"
    assert spec["sample"]["text_config"]["model_type"] == "qwen2"


def test_every_value_knows_its_file_its_option_or_its_override() -> None:
    tree = compose("assemble", ["run.seed=3"]).tree
    places = {path: locate(tree, tuple(path.split("."))) for path in ("task", "run.dtype", "run.seed")}
    assert str(places["task"]).endswith("assemble.yaml:8:7")
    assert str(places["run.dtype"]).endswith("conf/run/small.yaml:3:8")
    assert str(places["run.seed"]) == "override 'run.seed=3'"
    assert str(locate(tree, ("model", "projectors", "image", "mlp", "use"))) == "projector=mlp"


def test_a_value_that_two_files_give_is_that_of_the_later_and_stands_there(written) -> None:
    tree = compose(str(written("defaults: [{/run: small}, _self_]\nrun: {seed: 9}\n"))).tree
    assert tree["run"]["seed"] == 9
    assert str(locate(tree, ("run", "seed"))).endswith("mine.yaml:2:13")


def test_the_last_of_two_overrides_of_one_key_holds_and_is_the_one_that_is_named() -> None:
    composed = compose("assemble", ["run.seed=3", "run.seed=4"])
    assert composed.tree["run"]["seed"] == 4
    assert str(locate(composed.tree, ("run", "seed"))) == "override 'run.seed=4'"


def test_overrides_of_the_model_are_merged_by_the_spec_merger() -> None:
    word = "model.projectors.image={other: {use: linear, bias: '=config.text_config is None'}, mlp: null}"
    spec = ready("assemble", word, "model.sample.vision_config.hidden_size=48").spec
    assert [name for name, step in spec["projectors"]["image"].items() if step is not None] == ["other"]
    assert spec["sample"]["vision_config"]["hidden_size"] == 48


def test_a_file_is_an_experiment_and_the_groups_beside_it_come_first(written) -> None:
    text = f"defaults: [{{/language_model: small}}, _self_]\n{WHOLE}"
    small = "sample: {text_config: {model_type: llama, hidden_size: 24}}"
    path = written(text, language_model__small=small)
    spec = ready(path).spec
    assert spec["sample"]["text_config"]["hidden_size"] == 24
    assert spec["sample"]["image_token_index"] == 255  # of the base


def test_a_value_may_be_that_of_another_key(written) -> None:
    path = written(WHOLE + "run: {seed: 7, folder: 'runs/${run.seed}'}\n")
    assert ready(path).settings.run.folder == "runs/7"


def test_numbers_and_words_are_read_as_a_spec_reads_them(written) -> None:
    path = written(WHOLE + "run: {folder: on}\ngenerate: {temperature: 1e-5}\n")
    settings = ready(path).settings
    assert settings.run.folder == "on"
    assert settings.generate.temperature == 1e-5


def test_hydra_is_put_back_as_it_was() -> None:
    before = GlobalHydra.instance().hydra
    ready("assemble")
    with pytest.raises(OptionError):
        compose("assemble", ["tower=clop"])
    assert GlobalHydra.instance().hydra is before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tower=clop", "unknown tower 'clop'; did you mean 'clip'?"),
        ("towr=clip", "no group and no key 'towr'; did you mean 'tower'?"),
        ("tower=clip,siglip", "several values; `-m` runs one member for each"),
        ("run.seed=1,2", "several values; `-m` runs one member for each"),
        ("run.seed", "not of the form path.to.key=value or group=option"),
        ("~tower", "nothing is taken out of an experiment; `key=null` makes it absent"),
        ("run.seed=[1", "cannot be read: "),
        ("model=[1,2]", "model: does not go with what the files say there"),
        ("data=few", "the experiment chooses no data that another could replace; `- /data: few` in its defaults would"),
        ("+data=few", "the experiment chooses no data that another could replace"),
        ("experiment=speak", "the experiment chooses no experiment that another could replace"),
        ("hydra.run.dir=x", "Hydra's own settings are not an experiment's to change"),
        ("+hydra/launcher=basic", "Hydra's own settings are not an experiment's to change"),
        ("run._target_=os.getcwd", "'_target_' names code to call; an experiment is data alone"),
        ("run={_target_: os.getcwd}", "'_target_' names code to call; an experiment is data alone"),
        (
            "run.folder=${oc.env:HOME}",
            "'oc.env:' is a look-up outside the experiment; write the value, or ${another.key}",
        ),
        (
            "model.base=${oc.env:HOME}",
            "'oc.env:' is a look-up outside the experiment; write the value, or ${another.key}",
        ),
    ],
)
def test_a_wrong_word_is_named_with_what_would_do(word: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        compose("assemble", [word])
    assert str(raised.value).startswith(f"override {word!r}: {message}")


def test_all_wrong_words_are_told_at_once() -> None:
    with pytest.raises(OptionError) as raised:
        compose("assemble", ["tower=clop", "run.seed=1", "projector=mlpp"])
    assert [problem.place.file for problem in raised.value.problems if problem.place] == [
        "override 'tower=clop'",
        "override 'projector=mlpp'",
    ]


def test_mistakes_of_values_and_of_the_model_are_told_at_once_each_with_its_override() -> None:
    words = ["run.sed=3", "run.seed=x", "model.projectors.image.mlp.biass=1", "data.prompts=7"]
    with pytest.raises(SpecError) as raised:
        ready("assemble", *words)
    told = str(raised.value).splitlines()
    assert "override 'run.sed=3': run.sed: unknown key 'sed'; did you mean 'seed'?" in told
    biass = "model.projectors.image.mlp.biass"
    assert f"override '{biass}=1': {biass}: unknown key 'biass'; did you mean 'bias'?" in told
    assert any(line.startswith("override 'run.seed=x': run.seed: ") for line in told)
    assert any(line.startswith("override 'data.prompts=7': data.prompts: ") for line in told)
    assert len(told) == 4


def test_mistakes_in_files_are_told_with_line_and_column(written) -> None:
    path = written(
        """\
        defaults: [{/run: small}, {/data: mine}, _self_]
        taks: check
        model:
          base: llava
          projectors: {image: {mlp: {biass: true}}}
        """,
        data__mine="prompts: [one]\nfil: x.jsonl\n",
    )
    with pytest.raises(SpecError) as raised:
        ready(path)
    told = str(raised.value)
    data = path.parent.parent / "data" / "mine.yaml"
    assert f"{path}:2:1: taks: unknown key 'taks'; did you mean 'task'?" in told
    assert f"{path}:5:30: model.projectors.image.mlp.biass: unknown key 'biass'; did you mean 'bias'?" in told
    assert f"{data}:2:1: data.fil: unknown key 'fil'; did you mean 'file'?" in told
    assert f"{path}:1:1: task: " in told


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("run: {_target_: os.getcwd}", "3:7: run._target_", "'_target_' names code to call"),
        ("data: {prompts: [{_target_: x}]}", "3:19: data.prompts.0._target_", "'_target_' names code to call"),
        ("hydra: {run: {dir: x}}", "3:1: hydra", "Hydra's own settings"),
        ("hydra.run.dir: x", "3:1: hydra.run.dir", "Hydra's own settings"),
        ("run: {folder: '${oc.env:HOME}'}", "3:15: run.folder", "'oc.env:' is a look-up outside"),
        ("run: {folder: 'a/${hydra:run.dir}'}", "3:15: run.folder", "'hydra:' is a look-up outside"),
        ("run: {folder: '${ oc.env :HOME}'}", "3:15: run.folder", "'oc.env:' is a look-up outside"),
        ("run: {folder: '${oc.${x}:HOME}'}", "3:15: run.folder", "what `${` begins is not the path of a key"),
    ],
)
def test_what_is_refused_in_a_file_is_told_with_its_place(text: str, where: str, message: str, written) -> None:
    path = written(f"{WHOLE}{text}\n")
    with pytest.raises(SpecError) as raised:
        compose(str(path))
    assert str(raised.value).startswith(f"{path}:{where}: {message}")


@pytest.mark.parametrize("entry", ["{override hydra/launcher: basic}", "{/hydra/run: x}", "{/run@hydra.run: small}"])
def test_a_defaults_list_leaves_hydra_alone(entry: str, written) -> None:
    path = written(f"defaults: [{entry}, _self_]\ntask: check\n")
    with pytest.raises(SpecError, match=r"mine.yaml:1:12: defaults: Hydra's own settings"):
        compose(str(path))


def test_the_file_of_a_group_is_held_to_the_same_and_read_before_hydra_sees_it(written, monkeypatch) -> None:
    monkeypatch.setitem(os.environ, "SECRET", "clip")
    path = written("defaults: [{/data: mine}, _self_]\n", data__mine="defaults: [{/tower: '${oc.env:SECRET}'}]\n")
    with pytest.raises(SpecError, match=r"data/mine.yaml:1:21: defaults.0./tower: 'oc.env:' is a look-up"):
        compose(str(path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{/tower: clop}", "1:21: defaults: unknown tower 'clop'; did you mean 'clip'?"),
        ("{tower: clip}", "1:20: defaults: no group 'experiment/tower'; a group is named from the top: `/tower: clip`"),
    ],
)
def test_an_entry_of_a_defaults_list_that_leads_to_nothing_is_told_with_its_place(entry, message, written) -> None:
    path = written(f"defaults: [{entry}, _self_]\ntask: check\n")
    with pytest.raises(SpecError) as raised:
        compose(str(path))
    assert str(raised.value) == f"{path}:{message}"


@pytest.mark.parametrize("word", [r"run.folder=$\{oc.env:HOME\}", r"run.folder='a$''${oc.env:HOME}'"])
def test_quoting_hides_no_look_up(word: str) -> None:
    with pytest.raises((SpecError, OptionError), match=r"'oc.env:' is a look-up outside|cannot be read"):
        compose("assemble", [word])


def test_specs_are_no_options_of_a_group(written) -> None:
    path = written("defaults: [{/model: llama}, _self_]\ntask: check\n")
    with pytest.raises(SpecError, match="no group 'model'"):
        compose(str(path))


def test_a_value_that_another_key_should_give_and_does_not_is_told_with_its_place(written) -> None:
    path = written(WHOLE + "run: {folder: '${run.sed}'}\n")
    with pytest.raises(SpecError, match=r"mine.yaml:3:15: run.folder: Interpolation key 'run.sed' not found"):
        compose(str(path))


def test_an_unknown_experiment_is_told_with_the_nearest_and_a_file_that_is_not_there_with_its_path() -> None:
    with pytest.raises(OptionError, match="unknown experiment 'asemble'; did you mean 'assemble'"):
        compose("asemble")
    with pytest.raises(SpecError, match=r"nowhere\.yaml: No such file"):
        compose("nowhere.yaml")


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("run.device=gpu", "run.device: input should be cpu, cuda or cuda:0, say; found 'gpu'"),
        ("run.device=meta", "run.device: input should be cpu, cuda or cuda:0, say; found 'meta'"),
        (f"run.seed={2**53}", "run.seed: input should be less than 9007199254740992"),
        ("generate.temperature=inf", "generate.temperature: input should be a finite number"),
    ],
)
def test_what_no_machine_could_run_is_told_before_anything_is_written(word: str, path: str) -> None:
    with pytest.raises(SpecError) as raised:
        ready("assemble", word)
    assert str(raised.value).startswith(f"override {word!r}: {path}")


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ("assemble", "1:11: defaults: a list is wanted; found 'assemble'"),
        ("[assemble, 3]", "1:22: defaults: an entry is `/group: option` or a name, not 3"),
        ("[mine, _self_]", "1:1: defaults: leads back to itself"),
    ],
)
def test_a_defaults_list_that_is_none_is_told_with_its_place(defaults: str, message: str, written) -> None:
    path = written(f"defaults: {defaults}\ntask: check\n")
    with pytest.raises(SpecError) as raised:
        compose(str(path))
    assert str(raised.value) == f"{path}:{message}"


def test_a_file_without_a_name_is_no_experiment() -> None:
    with pytest.raises(OptionError, match=r"unknown experiment '\.yaml'"):
        compose(".yaml")


def test_a_folder_that_is_no_group_is_not_offered_as_one() -> None:
    with pytest.raises(OptionError) as raised:
        compose("assemble", ["zzzzzz=3"])
    known = str(raised.value).partition("known: ")[2].split(", ")
    assert "__pycache__" not in known
    assert len(known) == len(set(known))
