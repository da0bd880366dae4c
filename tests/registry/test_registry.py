"""Names to things within one process: parts by decorator, folders of specs added late."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from triptych.errors import RegistrationError, RegistrationTypeError, UnknownNameError
from triptych.parts.norms_spec import RmsNormSpec
from triptych.registry import KINDS, get_part, get_spec_file, part, part_names, register_spec_folder, spec_files
from triptych.registry import parts as parts_module
from triptych.registry import specs as specs_module
from triptych.spec.base import PartSpec
from triptych.spec.catalog import catalog, find_family


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_decorated", {})
    monkeypatch.setattr(specs_module, "_registered", [])
    specs_module._offers.cache_clear()


class Quiet(RmsNormSpec):
    """A norm under another name."""


class Loud(RmsNormSpec):
    """And one more."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_part_can_be_had_and_says_who_offers_it(kind: str) -> None:
    assert part_names(kind) == sorted(part_names(kind))
    for name in part_names(kind):
        found = get_part(kind, name)
        assert (found.kind, found.name) == (kind, name)
        assert found.origin.startswith("triptych ")
        assert kind == "activation" or issubclass(found.spec, PartSpec)


def test_the_decorator_registers_for_this_process() -> None:
    assert part("norm", "quiet")(Quiet) is Quiet
    assert "quiet" in part_names("norm")
    assert get_part("norm", "quiet").spec is Quiet
    assert "quiet" not in part_names("mixer")


def test_a_class_with_a_spec_is_known_by_that() -> None:
    class HeldSpec(Quiet):
        builds = ""

    class Held:
        Spec = HeldSpec

    HeldSpec.builds = Held
    part("norm", "held")(Held)
    assert get_part("norm", "held").target is Held
    assert get_part("norm", "held").spec is HeldSpec


def test_one_name_is_one_thing() -> None:
    part("norm", "quiet")(Quiet)
    part("norm", "quiet")(Quiet)  # the same again, as when a module is read twice
    with pytest.raises(RegistrationError, match=r"norm 'quiet' is .*:Quiet already, and .*:Loud asks for the name"):
        part("norm", "quiet")(Loud)
    assert get_part("norm", "quiet").spec is Quiet


def test_a_decorator_cannot_take_the_name_of_an_installed_part() -> None:
    part("norm", "rms_norm")(RmsNormSpec)  # what the entry point names too
    assert get_part("norm", "rms_norm").spec is RmsNormSpec
    part("norm", "layer_norm")(Loud)
    with pytest.raises(RegistrationError, match=r"norm 'layer_norm' is offered by triptych .* and by .*:Loud"):
        get_part("norm", "layer_norm")


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown norm 'rmsnorm'; did you mean 'rms_norm'\?"):
        get_part("norm", "rmsnorm")
    with pytest.raises(UnknownNameError, match=r"unknown spec 'gema2'; did you mean 'gemma2'\?"):
        get_spec_file("gema2")


@pytest.mark.parametrize("ask", [lambda kind: part(kind, "x"), lambda kind: get_part(kind, "x"), part_names])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("mixr", r"^kind: unknown kind of part 'mixr'; did you mean 'mixer'\?$"),
        ("tower", r"^kind: unknown kind of part 'tower'; known: activation, cut, embed, head, mixer, norm, pooler, "),
        (None, r"^kind: unknown kind of part None; known: activation, "),
        (["norm"], r"^kind: unknown kind of part \['norm'\]; known: activation, "),
    ],
)
def test_an_unknown_kind_of_part_is_told_with_the_kinds(ask: Any, kind: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        ask(kind)


@pytest.mark.parametrize("ask", [part, get_part])
def test_the_name_of_a_part_is_text(ask: Any) -> None:
    with pytest.raises(RegistrationTypeError, match=r"^name: the name of a part \(norm\) is a str, not \['a'\]$"):
        ask("norm", ["a"])
    with pytest.raises(RegistrationError, match=r"^name: the name of a part \(norm\) is empty$"):
        ask("norm", "")


class Plain:
    """No Spec, and none inside."""


class Loose(BaseModel):
    """A model of pydantic's that builds nothing."""


class Built:
    """A class with the Spec of another inside, as one has that inherits it."""

    Spec = Quiet


class Silent:
    class Spec(PartSpec):
        """It does not say what it builds."""


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("norm", 3, "a PartSpec class is wanted, or a class with one inside as `Spec`, not 3"),
        ("mixer", Plain, "a PartSpec class is wanted, or a class with one inside as `Spec`, not <class "),
        ("mixer", Loose, "a PartSpec class is wanted, "),
        ("head", len, "a PartSpec class is wanted, "),
        ("norm", Quiet(eps=1.0), "a PartSpec class is wanted, "),
        ("norm", SimpleNamespace(Spec=5), "a PartSpec class is wanted, "),
        ("activation", "silu", "a function is wanted, not 'silu'"),
        ("activation", Plain, "a function is wanted, not <class "),
        ("norm", Built, "the Spec inside it builds 'triptych.parts.norms:RmsNorm'; in it, builds = '.*:Built' names"),
        ("norm", Silent, "the Spec inside it builds nothing; in it, builds = '.*:Silent' names this class"),
    ],
)
def test_what_is_no_part_is_refused_where_it_is_registered(kind: str, target: Any, message: str) -> None:
    with pytest.raises(RegistrationTypeError, match=rf"^{kind} 'x': {message}"):
        part(kind, "x")(target)
    assert "x" not in part_names(kind)


def test_a_folder_of_specs_added_late_is_in_the_catalog_at_once(tmp_path: Path) -> None:
    assert "late" not in catalog()
    (tmp_path / "late.yaml").write_text("schema: 1\nbase: llama\narchitectures: [LateForCausalLM]\n")
    register_spec_folder(tmp_path)
    register_spec_folder(str(tmp_path))
    assert get_spec_file("late") == tmp_path / "late.yaml"
    assert find_family({"architectures": ["LateForCausalLM"]}) == "late"


def test_a_head_that_says_nothing_of_itself_is_a_head_all_the_same(tmp_path: Path) -> None:
    plain = "schema: 1\nbase: llama\narchitectures: [%s]\nlanguage_model: {head: {tied: null}}\n"
    (tmp_path / "plain.yaml").write_text(plain % "PlainForCausalLM")
    (tmp_path / "headless.yaml").write_text(plain.replace("{tied: null}", "null") % "HeadlessModel")
    (tmp_path / "empty.yaml").write_text("schema: 1\narchitectures: [EmptyForCausalLM]\nlanguage_model: {head: {}}\n")
    register_spec_folder(tmp_path)
    kinds = {name: catalog()[name].kind for name in ("plain", "headless", "empty")}
    assert kinds == {"plain": "language_model", "headless": "embedding_model", "empty": "language_model"}


def test_a_name_that_two_folders_offer_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "llama.yaml").write_text("schema: 1\n")
    register_spec_folder(tmp_path)
    assert "llama" not in spec_files()
    assert "gemma" in spec_files()
    with pytest.raises(RegistrationError, match=rf"spec 'llama' is offered by triptych .* and by {tmp_path}"):
        get_spec_file("llama")


def test_one_folder_under_two_names_is_one_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "mine.yaml").write_text("schema: 1\n")
    (tmp_path / "link").symlink_to("real")
    register_spec_folder(tmp_path / "real")
    register_spec_folder(tmp_path / "link")
    assert spec_files()["mine"].is_file()


def test_a_folder_that_is_not_there_cannot_be_added(tmp_path: Path) -> None:
    with pytest.raises(RegistrationError, match="there is no such folder of specs"):
        register_spec_folder(tmp_path / "nowhere")
