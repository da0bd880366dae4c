"""Specs as models: registered by folder, by file or as a mapping, inspected without torch, loaded as classes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.registry.test_plugins import ACME, ACME_ENTRIES, Site
from triptych.assembly.model_class import FromSpec
from triptych.capabilities import (
    capability_report,
    check_capabilities,
    check_triptych_model,
    is_text_generation_model,
    why_not_run,
)
from triptych.errors import RegistrationError, SpecError
from triptych.registry import models as models_module
from triptych.registry.model_info import ModelInfo
from triptych.registry.models import register_model
from triptych.registry.resolution import ResolutionSettings
from triptych.settings import Settings
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.models import resolver

AUTO = ResolutionSettings()
CLAIMED = sorted(name for spec in catalog().values() for name in spec.architectures)


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return Site(tmp_path / "site")


def test_every_architecture_that_a_spec_claims_is_served() -> None:
    assert resolver().architectures() == CLAIMED
    assert resolver() is resolver()


@pytest.mark.parametrize("architecture", CLAIMED)
def test_the_class_of_a_spec_has_the_record_that_the_spec_has(architecture: str) -> None:
    info, asked, registered = resolver().inspect(architecture, AUTO)
    assert info.architecture == asked == registered == architecture
    made = resolver().resolve(architecture, AUTO).model
    assert made.__name__ == architecture
    assert ModelInfo.of(made, architecture=architecture) == info
    assert capability_report(made).contradictions == ()
    for settings in (AUTO, ResolutionSettings(model="another"), ResolutionSettings(backend="triptych")):
        assert resolver().resolve([architecture], settings).model is made, "one class for one spec"


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "LlavaForConditionalGeneration", "BertModel"])
def test_a_class_of_a_spec_is_a_model_that_is_built_of_settings_and_that_the_runner_takes(architecture: str) -> None:
    made = resolver().resolve(architecture, AUTO).model
    check_triptych_model(made)
    check_capabilities(made)
    assert why_not_run(made) == ""
    (name,) = [name for name, spec in catalog().items() if architecture in spec.architectures]
    model = made(settings=Settings(config=sample_config(load_named(name)[1])))
    assert isinstance(model, made)
    assert ModelInfo.of(model, architecture=architecture) == ModelInfo.of(made, architecture=architecture)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_two_models_inside_one_keep_their_rows_apart_by_the_prefix() -> None:
    made = resolver().resolve("LlamaForCausalLM", AUTO).model
    settings = Settings(config=sample_config(load_named("llama")[1]))
    plain, below = made(settings=settings), made(settings=settings, prefix="draft")
    assert [f"draft.{key}" for key in plain.cache_needs()] == [*below.cache_needs()]


def test_a_config_of_another_kind_of_model_is_refused_by_the_class() -> None:
    register_model("Any", {"schema": 1, "language_model": {"spec": "=config.text"}, "weights": {"language_model": "x"}})
    made = resolver().resolve("Any", AUTO).model
    assert made(settings=Settings(config={"text": sample_config(load_named("llama")[1])})).head is not None
    with pytest.raises(SpecError, match="Any is a LanguageModel; this config makes a TextModel of it"):
        made(settings=Settings(config={"text": sample_config(load_named("bert")[1])}))


MINE: dict[str, Any] = {
    "schema": 1,
    "base": "llama",
    "parts": {"mlp": {"activation": "relu2"}},
    "capabilities": {"has_noops": True},
}


def test_a_spec_is_registered_as_a_mapping_or_by_its_file(tmp_path: Path) -> None:
    register_model("MineForCausalLM", MINE)
    (tmp_path / "yours.yaml").write_text("schema: 1\nbase: bert\npooler: {take: mean}\n")
    register_model("YoursModel", tmp_path / "yours.yaml")
    mine, yours = (resolver().inspect(name, AUTO).info for name in ("MineForCausalLM", "YoursModel"))
    assert (mine.is_text_generation_model, mine.has_noops, mine.is_pooling_model) == (True, True, False)
    assert (yours.default_seq_pooling_type, yours.attn_type) == ("MEAN", "encoder_only")
    made = resolver().resolve("MineForCausalLM", AUTO).model
    built = made(settings=Settings(config=sample_config(load_named("llama")[1])))
    assert built.layers[0].ffn.mlp.activation.__name__ == "relu2"
    assert capability_report(built)["has_noops"] == "declared only"


WRONG = {
    "base": ({"schema": 1, "base": "lama"}, r"^base: unknown spec 'lama'; did you mean 'llama'"),
    "plain": ({"schema": 1, "defaults": {"a": {1, 2}}}, r"^defaults.a: a spec holds plain values only, not \{1, 2\}"),
    "keys": ({"schema": 1, "defaults": {5: 1}}, "^defaults: a key is a text, not 5"),
    "large": ({"schema": 1, "defaults": {"a": [2**53]}}, r"^defaults.a.0: an integer of 2\*\*53 or more"),
    "form": ({"schema": 1, "modle": 1}, "^modle: unknown key 'modle'"),
    "circle": ({}, "^defaults: nested more than 40 deep"),
}
WRONG["circle"][0].update(schema=1, defaults=WRONG["circle"][0])


@pytest.mark.parametrize("name", [name for name in WRONG if name != "circle"])
def test_what_is_wrong_with_a_mapping_is_told_where_it_is_asked_for(name: str) -> None:
    spec, message = WRONG[name]
    register_model("Mine", spec)
    with pytest.raises(RegistrationError) as caught:
        resolver().inspect("Mine", AUTO)
    (cause,) = caught.value.__cause__.problems  # type: ignore[union-attr]
    assert str(cause.place) == "the mapping registered for Mine"
    assert re.search(message, f"{cause.path}: {cause.message}"), cause
    assert str(caught.value).startswith("architecture 'Mine' cannot be used: the mapping registered for Mine: ")


def test_a_mapping_that_holds_itself_is_no_endless_one() -> None:
    from triptych.spec.mapping import tree_of

    spec, message = WRONG["circle"]
    with pytest.raises(SpecError, match=message.replace("^", "here: ")):
        tree_of(spec, origin="here")


def test_a_class_and_a_spec_that_claim_one_architecture_are_told_with_both_origins() -> None:
    class Mine(torch.nn.Module):
        def __init__(self, *, settings: Settings, prefix: str = "") -> None: ...
        def embed_input_ids(self, input_ids: Any) -> Any: ...
        def forward(self, input_ids: Any, positions: Any, *, step: Any) -> Any: ...

    register_model("LlamaForCausalLM", Mine)
    with pytest.raises(RegistrationError, match=r"offered by .*Mine.* and by .*llama\.yaml; uninstall"):
        resolver().resolve("LlamaForCausalLM", AUTO)
    register_model("LlamaForCausalLM", Mine, on_duplicate="replace")
    assert resolver().resolve("LlamaForCausalLM", AUTO).model is Mine


def test_a_spec_is_converted_by_the_settings_and_by_the_name_of_a_sibling() -> None:
    config = sample_config(load_named("llama")[1])
    made, asked, registered = resolver().resolve("LlamaModel", ResolutionSettings(conversion="embed"))
    assert (asked, registered) == ("LlamaModel", "LlamaForCausalLM")
    assert issubclass(made, FromSpec)
    assert capability_report(made)["is_pooling_model"] == "declared", "its instances hold the pooler"
    assert not is_text_generation_model(made)
    assert capability_report(made(settings=Settings(config=config)))["is_pooling_model"] == "verified"
    classify = resolver().resolve("LlamaForCausalLM", ResolutionSettings(conversion="classify")).model
    assert ModelInfo.of(classify, architecture="A").score_type == "cross-encoder"
    with pytest.raises(RegistrationError, match="llava has no text model of its own; only such a one can embed"):
        resolver().resolve("LlavaForConditionalGeneration", ResolutionSettings(conversion="embed"))


def test_a_spec_that_cannot_be_read_is_told_to_who_asks_for_its_architecture(site: Site) -> None:
    files = {"broken/models/torn.yaml": "architectures: [Torn\n"}
    site.install("broken", "[triptych.specs]\nbroken = broken.models\n", files)
    found = site.python("""
        from triptych.registry.resolution import ResolutionSettings
        from triptych.spec.models import resolver
        resolver().inspect("TornForCausalLM", ResolutionSettings())
        """)
    assert found.startswith("unknown architecture 'TornForCausalLM'\nsupported, the nearest first: ")
    assert f"\nspec 'torn' (broken 1.0) cannot be read: {site.folder}/broken/models/torn.yaml:2:1: " in found


def test_inspecting_a_spec_imports_neither_torch_nor_code_of_its_package(site: Site) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    found = site.python("""
        import sys
        from triptych.registry.resolution import ResolutionSettings
        from triptych.spec.models import resolver
        for name in ("AcmeForCausalLM", "LlavaForConditionalGeneration", "LlamaForSequenceClassification"):
            info = resolver().inspect(name, ResolutionSettings()).info
            print(info.architecture, info.is_text_generation_model, info.supports_multimodal)
        print({"torch", "acme.mixing", "triptych.assembly"} & sys.modules.keys())
        """)
    assert found.splitlines() == [
        "AcmeForCausalLM True False",
        "LlavaForConditionalGeneration True True",
        "LlamaForCausalLM True False",
        "set()",
    ]


SPAWN = """
from multiprocessing import get_context
from pathlib import Path

from triptych.errors import TriptychError
from triptych.registry import register_spec_folder
from triptych.registry.models import register_model
from triptych.registry.resolution import ResolutionSettings
from triptych.spec.models import resolver

NAMES = ["AcmeForCausalLM", "FolderForCausalLM", "BetaForCausalLM", "MappingForCausalLM"]


def ask(architecture):
    try:
        return resolver().inspect(architecture, ResolutionSettings()).registered
    except TriptychError as error:
        return str(error)


if __name__ == "__main__":
    register_spec_folder(Path(__file__).parent / "mine")
    register_model("MappingForCausalLM", {"schema": 1, "base": "llama"})
    print(*map(ask, NAMES), sep="|")
    with get_context("spawn").Pool(1) as pool:
        print(*pool.map(ask, NAMES), sep="|")
"""


def test_specs_are_rebuilt_from_entry_points_in_a_spawned_process_and_what_the_parent_registered_is_told(
    site: Site,
) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    start = "from pathlib import Path\nfrom triptych.registry import register_spec_folder\n\n\n"
    start += "def start():\n    register_spec_folder(Path(__file__).parent / 'models')\n"
    spec = "schema: 1\nbase: llama\narchitectures: [%sForCausalLM]\n"
    site.install(
        "beta",
        "[triptych.plugins]\nbeta = beta.plug:start\n",
        {"beta/plug.py": start, "beta/models/beta.yaml": spec % "Beta"},
    )
    site.write({"spawning.py": SPAWN, "mine/folder.yaml": spec % "Folder"})
    done = site.run("spawning.py")
    parent, child = (line.split("|") for line in done.stdout.split("\n", 1))
    assert parent == ["AcmeForCausalLM", "FolderForCausalLM", "BetaForCausalLM", "MappingForCausalLM"]
    assert child[0::2] == ["AcmeForCausalLM", "BetaForCausalLM"]
    for name, told in zip(("FolderForCausalLM", "MappingForCausalLM"), child[1::2], strict=True):
        assert told.startswith(f"unknown architecture {name!r}\n")
        assert "this is a child process, which a registration in its parent does not reach" in told
