"""The two packages in `examples/`, built into wheels and installed beside triptych as anyone would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.scratch import Scratch, build_wheel

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODEL, BROKEN = "triptych-example-model", "triptych-example-broken"
OFFERED = {
    "models": "example_llava",
    "norms": "mean_abs",
    "processors": "example_squares",
    "conf": "example",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name in (MODEL, BROKEN):
        build_wheel(EXAMPLES / name, into=folder)
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch.make(tmp_path_factory.mktemp("scratch") / "env")


@pytest.fixture
def whole(scratch: Scratch, wheels: Path) -> Iterator[Scratch]:
    """With the package that works."""
    scratch.install(MODEL, wheels=wheels)
    yield scratch
    scratch.uninstall(MODEL)


@pytest.fixture
def both(whole: Scratch, wheels: Path) -> Iterator[Scratch]:
    """With the broken one too."""
    whole.install(BROKEN, wheels=wheels)
    yield whole
    whole.uninstall(BROKEN)


def offered(scratch: Scratch) -> dict[str, list[str]]:
    """Of what the package offers, that which is listed, with who offers it."""
    found = json.loads(scratch.triptych("list", "--json").stdout)
    return {
        f"{kind} {name}": row["distributions"]
        for kind, name in OFFERED.items()
        for row in found[kind]
        if row["name"] == name
    }


def test_a_package_is_listed_with_its_distribution_and_gone_when_it_is_uninstalled(
    scratch: Scratch, wheels: Path
) -> None:
    assert offered(scratch) == {}
    scratch.install(MODEL, wheels=wheels)
    assert offered(scratch) == {f"{kind} {name}": [f"{MODEL} 0.1.0"] for kind, name in OFFERED.items()}
    scratch.uninstall(MODEL)
    assert offered(scratch) == {}
    gone = scratch.triptych("check", "example_llava")
    assert gone.returncode == 1
    assert "unknown spec 'example_llava'" in gone.stdout + gone.stderr


def test_its_family_is_valid_climbs_the_ladder_and_runs(whole: Scratch) -> None:
    spec = whole.packages / "triptych_example_model" / "models" / "example_llava.yaml"
    assert whole.triptych("validate", str(spec)).returncode == 0
    checked = whole.triptych("check", "example_llava")
    assert (checked.returncode, "shape: passed" in checked.stdout) == (0, True), checked.stdout
    command = ("run", "example_llava", "--random-init", "--raw", "--max-tokens", "4", "--json", "anything")
    ran = whole.triptych(*command)
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["token_ids"]) == 4


SPAWNED = """
import multiprocessing

def answer(prompt):
    import triptych
    model = triptych.random_init("example_llava", seed=3)
    (found,) = model.generate([prompt], max_tokens=4, raw=True)
    return type(model.processor).__name__, found.token_ids

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(answer, ["hi"]) == answer("hi"), answer("hi")[0])
"""


def test_its_family_runs_in_a_spawned_process_which_inherits_nothing(whole: Scratch) -> None:
    (whole.work / "spawned.py").write_text(SPAWNED, encoding="utf-8")
    done = whole.run("spawned.py")
    assert (done.stdout, done.returncode) == ("True SquareProcessor\n", 0), done.stderr


def test_its_config_group_is_an_option_of_experiments(whole: Scratch) -> None:
    done = whole.triptych("experiment", "assemble", "projector=example_normed")
    assert done.returncode == 0, done.stderr
    (resolved,) = (whole.work / "runs").rglob("spec.yaml")
    assert "use: mean_abs" in resolved.read_text(encoding="utf-8")


def test_its_own_tests_pass(whole: Scratch) -> None:
    done = whole.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / MODEL / "tests"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_package_troubles_nobody_who_does_not_ask_for_it(both: Scratch) -> None:
    assert offered(both).keys() == {f"{kind} {name}" for kind, name in OFFERED.items()}
    for kind, listed in {"mixers": "attention", "norms": "mean_abs", "processors": "example_squares"}.items():
        told = both.triptych("list", kind)
        assert (told.returncode, listed in told.stdout, told.stderr) == (0, True, ""), kind
    checked = both.triptych("check", "llama", "llava", "example_llava")
    assert checked.returncode == 0, checked.stdout
    ran = both.triptych("run", "example_llava", "--random-init", "--raw", "--max-tokens", "2", "anything")
    assert ran.returncode == 0, ran.stderr


ASKING = {  # a part that is asked for -> what is said, beside the name of the package
    "{norm: {use: raising}}": "cannot be imported: RuntimeError: this module is broken on purpose",
    "{norm: {use: misspelt}}": "has no attribute 'Spek'",
    "{norm: {use: half}}": "has no method `forward`; a part is called with rows",
    "{mlp: {activation: relu2}}": "activation 'relu2' is offered by triptych 0.1.0",
}


def test_who_asks_for_what_is_broken_is_told_by_whom_it_is_offered(both: Scratch) -> None:
    for number, parts in enumerate(ASKING):
        text = f"schema: 1\nbase: llama\nparts: {parts}\n"
        (both.work / f"asks{number}.yaml").write_text(text, encoding="utf-8")
    names = [f"asks{number}.yaml" for number in range(len(ASKING))]
    done = both.triptych("check", "llama", *names, "torn")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("llama") and "failed" in line]
    for message in ASKING.values():
        assert [line for line in lines if message in line and f"{BROKEN} 0.1.0" in line], (message, done.stdout)
    assert "triptych_example_broken/models/torn.yaml:5:1: did not find expected" in done.stdout


def test_a_processor_that_lacks_methods_is_told_with_its_package(both: Scratch) -> None:
    done = both.triptych("run", "example_llava", "--random-init", "--raw", "anything", "processor=half")
    assert done.returncode == 1
    assert f"(from {BROKEN} 0.1.0) cannot be built: TypeError: Can't instantiate abstract class" in done.stderr


INSPECT = """
import triptych
try:
    triptych.resolver().inspect("HalfForCausalLM", triptych.ResolutionSettings())
except triptych.TriptychError as error:
    print(error)
"""


def test_a_model_class_that_lacks_methods_is_told_with_its_package(both: Scratch) -> None:
    said = both.run("-c", INSPECT).stdout
    assert f"half:HalfForCausalLM, from {BROKEN} 0.1.0) cannot be inspected" in said
    assert "lacks what that needs: get_placeholder_str, embed_multimodal" in said


def test_who_lists_a_kind_is_told_what_of_it_is_broken_and_no_more(both: Scratch) -> None:
    everything = both.triptych("list").stderr.splitlines()
    said = {kind: both.triptych("list", kind).stderr.splitlines() for kind in ("models", "activations")}
    assert len(said["models"]) == 2, "the torn spec, and the folder that is not there"
    assert [line.partition(" is offered by ")[0] for line in said["activations"]] == ["activation 'relu2'"]
    assert sorted(everything) == sorted([*said["models"], *said["activations"]])
    assert all(f"{BROKEN} 0.1.0" in line for line in everything)


def test_a_broken_spec_is_told_with_its_package_and_line_in_the_list(both: Scratch) -> None:
    said = both.triptych("list").stderr
    assert f"spec 'torn' ({BROKEN} 0.1.0) cannot be read: " in said
    assert "torn.yaml:5:1: did not find expected" in said
    assert f"gone (triptych_example_broken.nowhere, from {BROKEN} 0.1.0): there is no such folder of specs" in said
