"""What is wrong with an experiment that trains is told at once, each with its place, before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.training.colours import write_pictures, written
from triptych.errors import OptionError, SpecError
from triptych.experiments.compose import compose
from triptych.experiments.read import read
from triptych.experiments.run import run_experiment

pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures()


def told(name: str, *words: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(compose(name, words))
    return str(caught.value)


def test_all_mistakes_are_told_at_once_with_their_places() -> None:
    Path("held.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "answer": "c", "images": ["gone.png"]}\n{]\n')
    name = written(
        "  - {train: {projektor: 1e-3}, steps: 1}\n"
        "  - {train: {}, steps: 1}\n"
        "  - {train: {tower: 1e-3, projector: 1e-3}, freeze: [tower, projectors], steps: 1}\n"
        "  - {train: {projector: 1e-3}, freeze: [language_model.layers.7], lora: {language_model: {}}}"
    )
    found = told(name, "data.held_out=held.jsonl").splitlines()
    wanted = [
        "this model has no component 'projektor'; did you mean 'projector'?",
        "trains nothing, so that all is frozen",
        "all that it trains (tower, projector) is frozen; a stage that freezes everything learns nothing",
        "one of `steps` and `epochs` says how long the stage is",
        "this model has no component 'language_model.layers.7'; did you mean 'language_model.layers.1'?",
        "'language_model' is not trained; name its learning rate in `train`",
        "held.jsonl:1:1: answer: the answer that is looked for is missing",
        "held.jsonl:2:1: images: no such file: gone.png",
        "held.jsonl:3:2: no JSON",
    ]
    for message in wanted:
        (line,) = [line for line in found if message in line]
        assert "mine.yaml:" in line or line.startswith("held.jsonl:"), line


@pytest.mark.parametrize(
    ("stages", "words", "message"),
    [
        ("  - {train: {projector: 0}, steps: 1}", (), "train.stages.0.train.projector: "),
        (
            "  - {train: {projector: 1e-3}, steps: 1, name: a}\n  - {train: {projector: 1}, steps: 1, name: a}",
            (),
            "'a'",
        ),
        ("  - {train: {projector: 1e-3}, steps: 1}", ("data.file=gone.jsonl",), "gone.jsonl: No such file"),
        ("  - {train: {projector: 1e-3}, steps: 1}", ("data.file=null",), "no examples; give a `data.file`"),
        ("  - {train: {projector: 1e-3}, steps: 1}", ("train.stages=[]",), "no stages"),
        ("  - {train: {projector: 1e-3}, steps: 1, kinds: [a]}", (), "kinds: no question is of kind 'a'"),
        ("  - {train: {projector: 1e-3}, steps: 1}", ("train.tokenizer=gone",), "no folder with a tokenizer.json"),
        ("  - {train: {projector: 1e-3}, steps: 1}", ("data.prompts=[a]",), "prompts in place have no answers"),
        ("  - {train: {towers.image.layers.0.mix.x.y: 1}, freeze: [head], steps: 1}", (), "no component 'head'"),
    ],
)
def test_a_mistake_is_told(stages: str, words: tuple[str, ...], message: str) -> None:
    assert message in told(written(stages), *words)


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("{train: {towers.image.layers.0.mix.atention: 1e-3}, steps: 1}", "log_every: 1"),
        ("{train: {tower: 1e-3}, steps: 1}", "begin: {towers.image.layers.0.mix.atention: 0.5}"),
    ],
)
def test_a_path_inside_a_part_is_known_when_the_model_is_built(stage: str, more: str) -> None:
    name = written(f"  - {stage}", more)
    with pytest.raises(OptionError, match=r"nothing of this model stands in towers\.image\.layers\.0\.mix\.atention"):
        run_experiment(name)


def test_what_training_begins_from_is_of_components_and_of_random_weights() -> None:
    name = written("  - {train: {projector: 1e-3}, steps: 1}", "begin: {projektor: 0.5, language_model.embed: 2}")
    found = told(name)
    assert "mine.yaml:" in found
    assert "this model has no component 'projektor'; did you mean 'projector'?" in found
    assert "language_model.embed" not in found
    Path("config.json").write_text("{}")
    assert "without one, they are random" in told(name, "checkpoint=.")


def test_matrices_need_linear_layers_to_stand_beside() -> None:
    name = written("  - {train: {language_model.norm: 1}, lora: {language_model.norm: {}}, steps: 1}")
    with pytest.raises(OptionError, match=r"no linear layers stand in language_model\.norm"):
        run_experiment(name)


FSDP1, FSDP2 = ({"fsdp_version": version, "activation_checkpointing": False} for version in (1, 2))


@pytest.mark.parametrize(
    ("kind", "plugin", "more", "told"),
    [
        ("deepspeed", {}, "", "DeepSpeed leaves a piece .*; start .* with torchrun"),
        ("fsdp", FSDP1, "", "FSDP 1 is not taken; `fsdp_version: 2` is"),
        ("fsdp", FSDP2, ", optimizer: muon", "Muon takes whole ones; `optimizer: adamw` does"),
        ("fsdp", FSDP2, ", lora: {projector: {}}", "`lora` is not taken under FSDP; start .* with torchrun"),
        ("fsdp", FSDP2 | {"activation_checkpointing": True}, "", "`fsdp_activation_checkpointing` is not taken"),
    ],
)
def test_what_cannot_be_trained_in_parts_is_refused(
    kind: str, plugin: dict[str, object], more: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triptych.training.stage import Stage

    create = Stage.create_accelerator_and_postprocess

    def cut(self: Stage) -> None:
        create(self)
        setattr(self, f"is_{kind}_enabled", True)
        monkeypatch.setitem(self.accelerator.state.__dict__, "fsdp_plugin", SimpleNamespace(**plugin))

    monkeypatch.setattr(Stage, "create_accelerator_and_postprocess", cut)
    with pytest.raises(OptionError, match=f"stage '1': .*{told}"):
        run_experiment(written(f"  - {{train: {{projector: 1e-3}}, steps: 1{more}}}"))


def test_an_experiment_is_read_without_torch() -> None:
    name = written("  - {train: {projektor: 1e-3}, steps: 1}")
    code = f"""
import sys
from triptych.errors import SpecError
from triptych.experiments.run import run_experiment
try:
    run_experiment({name!r})
except SpecError as error:
    print(error)
print(sorted({{"torch", "transformers", "accelerate", "peft"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "did you mean 'projector'?" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_kind_that_is_never_drawn_is_told_before_anything_is() -> None:
    stages = "".join(
        f"  - {{train: {{projector: 1e-3}}, steps: 1, kinds: [{kinds}]}}\n" for kinds in ("number, cuont", "a")
    )
    words = ["data.make=handwriting", "data.file=drawn/train.jsonl", "data.held_out=drawn/held_out.jsonl"]
    program = (
        f"import sys\nfrom triptych.cli import main\nstatus = main({['experiment', written(stages), *words]!r})\n"
        "print(status, sorted({'torch', 'sklearn', 'tokenizers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "1 []\n", done.stderr
    assert "train.stages.0.kinds: no question is of kind 'cuont'; did you mean 'count'?" in done.stderr
    assert (
        "train.stages.1.kinds: no question is of kind 'a'; known: contains, count, first, last, number" in done.stderr
    )
    assert not Path("drawn").exists()
