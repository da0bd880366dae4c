"""Sweeps: which members a command line makes, and that each of them is run and told of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.experiments.test_plot import ORANGE, bars
from triptych.cli import main
from triptych.errors import OptionError
from triptych.experiments.comparison import _name
from triptych.experiments.offered import offered_names
from triptych.experiments.sweep import Member, members, sweep

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["tower=clip", "run.seed=1"], [()]),
        (["tower=clip,siglip"], [("tower=clip",), ("tower=siglip",)]),
        (["tower=glob(*)"], [(f"tower={name}",) for name in offered_names("tower")]),
        (
            ["tower=glob(*,exclude=clip)", "run.seed=1"],
            [(f"tower={name}",) for name in offered_names("tower") if name != "clip"],
        ),
        (["tower=glob(cl*)", "run.seed=1"], [()]),  # clip alone
        (["run.seed=range(1,3)"], [("run.seed=1",), ("run.seed=2",)]),
        (["model.sample.image=1,2", "run.seed=1"], [("model.sample.image=1",), ("model.sample.image=2",)]),
        (["model.projectors.image.mlp.bias==config.a, config.b"], [()]),  # the spec's own grammar: one value
        (["data.prompts=[one,two]"], [()]),
    ],
)
def test_several_values_make_a_member_each(words: list[str], choices: list[tuple[str, ...]]) -> None:
    assert [choice for _, choice in members("assemble", words)] == choices


def test_members_are_every_combination_and_each_has_all_its_words() -> None:
    found = members("assemble", ["run.seed=5", "tower=clip,siglip", "projector=glob(*)", "language_model=glob(*)"])
    projectors = {*offered_names("projector"), "normed_mlp", "merged_mlp", "paired_mlp"}  # and those by file
    assert len(found) == 2 * len(projectors) * len(offered_names("language_model"))
    assert len({words for words, _ in found}) == len(found)
    assert {words[0] for words, _ in found} == {"run.seed=5"}
    assert {len(choices) for _, choices in found} == {3}


def test_words_that_name_nothing_stop_a_sweep_before_it_begins() -> None:
    words = [
        "towr=clip,siglip",
        "tower=clip,siglp",
        "language_model=glob(zz*)",
        "run.seed=interval(1,2)",
        "hydra.x=1,2",
    ]
    with pytest.raises(OptionError) as raised:
        next(sweep("assemble", words))
    told = str(raised.value).splitlines()
    assert told[0] == "override 'towr=clip,siglip': no group and no key 'towr'; did you mean 'tower'?"
    assert told[1] == "override 'tower=siglp': unknown tower 'siglp'; did you mean 'siglip'?"
    assert told[2] == "override 'language_model=glob(zz*)': matches nothing"
    assert told[3].startswith("override 'run.seed=interval(1,2)': cannot be read: ")
    assert told[4].startswith("override 'hydra.x=1,2': Hydra's own settings")
    assert not Path("runs").exists()


def test_a_broken_member_is_told_and_the_others_finish(capsys: Capture) -> None:
    odd = Path("mine/projector/odd.yaml")
    Path("mine/experiment").mkdir(parents=True)
    odd.parent.mkdir()
    Path("mine/experiment/mine.yaml").write_text("defaults: [assemble, _self_]\n")
    odd.write_text("projectors: {image: {odd: {use: mlpp}}}\n")
    status = main(["experiment", "mine/experiment/mine.yaml", "-m", "projector=linear,odd,mlp", "--json"])
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert status == 1
    assert [row["projector"] for row in rows] == ["linear", "odd", "mlp"]
    assert [row.get("image_tokens") for row in rows] == [17, None, 17]
    place = f"{odd.absolute()}:1:33: model.projectors.image.odd.use"
    assert rows[1]["error"] == f"{place}: unknown projector 'mlpp'; did you mean 'mlp'?"
    assert f"projector=odd: broken: {place}" in captured.err
    assert "3 members, 1 broken" in captured.err.splitlines()
    (folder,) = Path("runs/mine/sweeps").iterdir()
    assert captured.err.splitlines()[-1] == f"compared in {folder}"
    assert [json.loads(line) for line in (folder / "comparison.jsonl").read_text().splitlines()] == rows
    assert len(bars(np.asarray(Image.open(folder / "comparison.png").convert("RGB")))) == 2


def test_a_part_that_raises_is_a_broken_member_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from triptych.experiments import sweep as module

    run = module.run_experiment

    def odd(name: str, words: tuple[str, ...]) -> object:
        if "run.seed=2" in words:
            raise RuntimeError("of somebody's part")
        return run(name, words)

    monkeypatch.setattr(module, "run_experiment", odd)
    status = main(["experiment", "assemble", "-m", "run.seed=1,2,3", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert (status, [row.get("error") for row in rows]) == (1, [None, "RuntimeError: of somebody's part", None])


def test_a_sweep_ends_with_a_table_that_compares_its_members(capsys: Capture) -> None:
    status = main(["experiment", "assemble", "-m", "tower=clip,siglip", "projector=linear", "run.seed=1,2"])
    captured = capsys.readouterr()
    lines = [line.replace("┃", "│").strip("│").split("│") for line in captured.out.splitlines() if line[0] in "┃│"]
    head, *rows = [[cell.strip() for cell in line] for line in lines]
    assert status == 0
    assert head == ["tower", "run.seed", "parameters", "image_tokens", "width"]
    assert [row[:2] + row[3:4] for row in rows] == [
        ["clip", "1", "17"],
        ["clip", "2", "17"],
        ["siglip", "1", "16"],
        ["siglip", "2", "16"],
    ]
    assert "4 members, none broken" in captured.err.splitlines()


def test_a_sweep_shows_what_its_experiment_compares_and_keeps_the_rest(capsys: Capture) -> None:
    Path("mine").mkdir()
    Path("mine/short.yaml").write_text(
        "defaults: [assemble, _self_]\ncompare: [image_tokens, parameters, of_another]\n"
    )
    words = ["tower=clip,siglip", "projector=linear,merged_mlp"]
    assert main(["experiment", "mine/short.yaml", "-m", *words]) == 0
    head, *_ = [line for line in capsys.readouterr().out.splitlines() if line[0] == "┃"]
    assert [cell.strip() for cell in head.strip("┃").split("┃")] == ["tower", "projector", "image_tokens", "parameters"]
    (folder,) = Path("runs/short/sweeps").iterdir()
    rows = [json.loads(line) for line in (folder / "comparison.jsonl").read_text().splitlines()]
    assert [(row["image_tokens"], row["width"]) for row in rows] == [(17, 64), (4, 64), (16, 64), (4, 64)]
    picture = np.asarray(Image.open(folder / "comparison.png").convert("RGB"))
    assert (len(bars(picture)), len(bars(picture, ORANGE))) == (3, 3)  # of each projector, and in the legend
    Path("mine/short.yaml").write_text("defaults: [assemble, _self_]\ncompare: [width]\n")  # no other run for that
    capsys.readouterr()
    assert main(["experiment", "mine/short.yaml", "-m", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_a_sweep_of_which_nothing_came_is_not_compared(capsys: Capture) -> None:
    assert main(["experiment", "assemble", "-m", "model.tokens.image.count=1,2"]) == 1
    assert "compared in" not in capsys.readouterr().err
    assert not Path("runs/assemble/sweeps").exists()


def test_a_sweep_is_taken_up_where_it_was_stopped() -> None:
    first = next(sweep("assemble", ["tower=clip,siglip"]))
    assert first.outcome
    log = first.outcome.folder / "log.txt"
    again = [*sweep("assemble", ["tower=clip,siglip"])]
    assert len(again) == 2
    assert log.read_text().count("done before") == 1


def test_a_value_that_is_said_twice_is_one_member() -> None:
    assert [words for words, _ in members("assemble", ["tower=siglip,clip,siglip"])] == [
        ("tower=siglip",),
        ("tower=clip",),
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("run.seed=range(0,10,0)", "override 'run.seed=range(0,10,0)': cannot be read: range"),
        ("run.seed=range(0,1000000000)", "-m: a sweep of 10001 members or more; at most 10000 go at a time"),
    ],
)
def test_a_sweep_without_an_end_is_refused_at_once(word: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        members("assemble", [word])
    assert str(raised.value).startswith(message)


def test_what_was_done_of_a_sweep_that_is_interrupted_is_compared(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triptych.experiments import sweep as module

    run = module.run_experiment

    def stopped(name: str, words: tuple[str, ...]) -> object:
        if "run.seed=3" in words:
            raise KeyboardInterrupt
        return run(name, words)

    monkeypatch.setattr(module, "run_experiment", stopped)
    status = main(["experiment", "assemble", "-m", "run.seed=1,2,3", "--json"])
    captured = capsys.readouterr()
    (kept,) = Path("runs/assemble/sweeps").glob("*/comparison.jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert status == 130
    assert [row["run.seed"] for row in rows] == ["1", "2"]
    assert json.loads(captured.out) == rows
    assert [line.partition(":")[0] for line in captured.err.splitlines()[:2]] == ["1/3 run.seed=1", "2/3 run.seed=2"]


def test_a_value_stands_in_a_picture_with_its_key_and_an_option_alone() -> None:
    words = ("language_model=llama", "run.seed=3")
    assert _name(Member(1, 1, words, words, None, None)) == "llama seed=3"
