"""From listed architectures to the one model that serves them: the order, the siblings, the failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.registry.test_plugins import Site
from tests.registry.tiny_models import SOURCE, Generator, Pooled, Tiny
from triptych.errors import (
    OptionError,
    RegistrationError,
    RegistrationTypeError,
    SpecError,
    UnknownNameError,
)
from triptych.registry import models as models_module
from triptych.registry.model_info import ModelInfo
from triptych.registry.models import Spec, register_model
from triptych.registry.queries import Queries
from triptych.registry.resolution import Inspected, ResolutionSettings, Resolver
from triptych.registry.suffixes import SUFFIXES, find_suffix, siblings

AUTO = ResolutionSettings()


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return Site(tmp_path / "site")


@dataclass(frozen=True)
class Offered:
    """One model; what it cannot do it says."""

    architecture: str
    origin: str = "a test"
    model: type = Tiny
    wrong: str = ""

    def inspect(self) -> ModelInfo:
        self._check()
        return ModelInfo.of(self.model, architecture=self.architecture)

    def load(self) -> type:
        self._check()
        return self.model

    def _check(self) -> None:
        if self.wrong:
            raise SpecError(self.wrong)


class Shelf:
    """Specs by architecture; a mapping is its own file."""

    def __init__(self, **specs: Sequence[Spec]) -> None:
        self.specs = specs

    def architectures(self) -> Mapping[str, Sequence[Spec]]:
        return self.specs

    def troubles(self) -> list[str]:
        return []

    def offer(self, architecture: str, spec: Spec) -> Offered:
        given: Any = spec if isinstance(spec, Mapping) else {}
        return Offered(architecture, model=given.get("model", Pooled), wrong=given.get("wrong", ""))


@dataclass
class Generic:
    """A generic backend that serves what it is told to, and counts."""

    serves: tuple[str, ...] = ()
    name: str = "transformers"
    asked: list[str] = field(default_factory=list)

    def offer(self, architecture: str, settings: ResolutionSettings) -> Offered:
        self.asked.append(f"{architecture} {settings.conversion}")
        if architecture not in self.serves:
            raise SpecError(f"no modeling code for {architecture}")
        return Offered(f"Generic{architecture}", model=Generator)


def told(error: pytest.ExceptionInfo[Exception]) -> list[str]:
    return str(error.value).splitlines()


def test_a_str_is_taken_as_a_one_element_list_and_an_empty_list_fails() -> None:
    register_model("ABC", Tiny)
    for names in ("ABC", ["ABC"], ("ABC",)):
        assert Resolver(Shelf()).resolve(names, AUTO) == (Tiny, "ABC", "ABC")
    with pytest.raises(ValueError, match="no architecture is given"):
        Resolver(Shelf()).inspect([], AUTO)
    with pytest.raises(RegistrationTypeError, match=r"architectures are names, not \('A', 5\)"):
        Resolver(Shelf()).inspect(["A", 5], AUTO)  # type: ignore[list-item]
    for names in (None, 3, {"A": 1}):
        with pytest.raises(RegistrationTypeError, match=r"^architectures are names, not"):
            Resolver(Shelf()).inspect(names, AUTO)  # type: ignore[arg-type]


def test_a_backend_that_is_no_name_is_refused_like_one_that_there_is_not() -> None:
    with pytest.raises(OptionError, match=r"^backend: there is no backend 3; known: auto, triptych$"):
        Resolver(Shelf()).inspect("A", ResolutionSettings(backend=3))  # type: ignore[arg-type]


def test_a_class_a_spec_that_was_registered_and_a_spec_of_a_folder_are_all_had_by_name(tmp_path: Path) -> None:
    register_model("ByClass", Tiny)
    register_model("ByMapping", {"model": Generator})
    resolver = Resolver(Shelf(InFolder=[tmp_path / "a.yaml"]))
    found = [resolver.resolve(name, AUTO).model for name in ("ByClass", "ByMapping", "InFolder")]
    assert found == [Tiny, Generator, Pooled]
    assert resolver.architectures() == ["ByClass", "ByMapping", "InFolder"]
    assert resolver.inspect("InFolder", AUTO).info.is_pooling_model


def test_the_first_name_that_succeeds_wins() -> None:
    register_model("Second", Tiny)
    register_model("Third", Pooled)
    register_model("Broken", {"wrong": "mine.yaml:1:1: no such part"})
    resolver = Resolver(Shelf())
    assert resolver.resolve(["Broken", "Unknown", "Second", "Third"], AUTO) == (Tiny, "Second", "Second")


def test_the_record_of_a_sibling_comes_with_the_requested_name_and_the_siblings_own_as_a_third() -> None:
    register_model("LlamaForCausalLM", Generator)
    found = Resolver(Shelf()).inspect("LlamaForSequenceClassification", AUTO)
    assert found[1:] == ("LlamaForSequenceClassification", "LlamaForCausalLM")
    assert found.info.architecture == "LlamaForCausalLM"


def test_a_registered_name_is_taken_as_it_is() -> None:
    register_model("LlamaForCausalLM", Generator)
    register_model("LlamaModel", Tiny)
    assert Resolver(Shelf()).resolve("LlamaModel", AUTO) == (Tiny, "LlamaModel", "LlamaModel")


def test_siblings_are_tried_in_the_order_of_the_table() -> None:
    assert next(siblings("LlamaModel")) == "LlamaForCausalLM"
    assert [name.removeprefix("Llama") for name in siblings("LlamaModel")] == [s for s in SUFFIXES if s != "Model"]
    register_model("LlamaEmbeddingModel", Pooled)
    register_model("LlamaForConditionalGeneration", Generator)
    assert Resolver(Shelf()).resolve("LlamaModel", AUTO).registered == "LlamaForConditionalGeneration"


TABLE = [
    ("ForCausalLM", "generate", "none"),
    ("ForConditionalGeneration", "generate", "none"),
    ("ChatModel", "generate", "none"),
    ("LMHeadModel", "generate", "none"),
    ("ForTextEncoding", "pooling", "embed"),
    ("EmbeddingModel", "pooling", "embed"),
    ("ForSequenceClassification", "pooling", "classify"),
    ("ForTokenClassification", "pooling", "classify"),
    ("ForAudioClassification", "pooling", "classify"),
    ("ForImageClassification", "pooling", "classify"),
    ("ForVideoClassification", "pooling", "classify"),
    ("ClassificationModel", "pooling", "classify"),
    ("ForRewardModeling", "pooling", "embed"),
    ("RewardModel", "pooling", "embed"),
    ("Model", "pooling", "embed"),
]


@pytest.mark.parametrize(("suffix", "runner", "conversion"), TABLE)
def test_a_suffix_fits_the_runner_and_conversion_in_effect_or_any_while_they_are_unknown(
    suffix: str, runner: Any, conversion: Any
) -> None:
    name = f"Llama{suffix}"
    other: Any = "pooling" if runner == "generate" else "generate"
    assert find_suffix(name) == suffix
    assert find_suffix(name, runner=runner) == find_suffix(name, runner=runner, conversion=conversion) == suffix
    assert find_suffix(name, runner=other, conversion=conversion) == ""
    assert list(SUFFIXES.items())[[row[0] for row in TABLE].index(suffix)] == (suffix, (runner, conversion))


def test_a_suffix_counts_only_at_the_end_of_the_name() -> None:
    assert list(siblings("ModelOfForCausalLMThings")) == []
    assert "ModelForConditionalGeneration" in list(siblings("ModelForCausalLM"))
    assert all(name.startswith("ChatModelX") for name in siblings("ChatModelXModel"))


def test_the_runner_in_effect_decides_which_suffix_a_name_ends_in() -> None:
    register_model("QwenChatForCausalLM", Generator)
    resolver = Resolver(Shelf())
    with pytest.raises(UnknownNameError):
        resolver.resolve("QwenChatModel", AUTO)
    assert resolver.inspect("QwenChatModel", ResolutionSettings(runner="pooling")).registered == "QwenChatForCausalLM"


def test_a_forced_generic_backend_comes_first_with_the_first_architecture() -> None:
    register_model("LlamaForCausalLM", Tiny)
    resolver = Resolver(Shelf(), generic=Generic(("LlamaForCausalLM",)))
    found = resolver.resolve(["LlamaForCausalLM", "Other"], ResolutionSettings(backend="transformers"))
    assert found == (Generator, "LlamaForCausalLM", "GenericLlamaForCausalLM")


def test_a_forced_backend_that_cannot_serve_fails_and_never_falls_through_to_a_native_class() -> None:
    register_model("LlamaForCausalLM", Tiny)
    resolver = Resolver(Shelf(), generic=Generic(("Other",)))
    with pytest.raises(
        ValueError, match=r"backend 'transformers' cannot serve 'LlamaForCausalLM': no modeling"
    ) as caught:
        resolver.inspect(["LlamaForCausalLM", "Other"], ResolutionSettings(backend="transformers"))
    assert isinstance(caught.value.__cause__, SpecError)


def test_a_backend_that_there_is_not_is_named() -> None:
    register_model("LlamaForCausalLM", Tiny)
    with pytest.raises(OptionError, match=r"backend: there is no backend 'transformers'; known: auto, triptych"):
        Resolver(Shelf()).inspect("LlamaForCausalLM", ResolutionSettings(backend="transformers"))
    with pytest.raises(OptionError, match=r"no backend 'transformer'; did you mean 'transformers'\?"):
        Resolver(Shelf(), generic=Generic()).inspect("LlamaForCausalLM", ResolutionSettings(backend="transformer"))


def test_under_auto_the_generic_backend_serves_what_no_listed_name_is_registered_for() -> None:
    register_model("LlamaForCausalLM", Tiny)
    generic = Generic(("LlamaModel",))
    resolver = Resolver(Shelf(), generic=generic)
    assert resolver.resolve(["LlamaModel", "Other"], AUTO).registered == "GenericLlamaModel", "before any sibling"
    assert resolver.resolve(["LlamaModel", "LlamaForCausalLM"], AUTO) == (Tiny, "LlamaModel", "LlamaForCausalLM")
    assert generic.asked == ["LlamaModel None"], "not when a listed name is registered"
    native = ResolutionSettings(backend="triptych")
    assert resolver.resolve("LlamaModel", native).registered == "LlamaForCausalLM"


def test_with_a_conversion_in_effect_siblings_come_before_the_generic_backend() -> None:
    register_model("LlamaForCausalLM", Tiny)
    embed = ResolutionSettings(conversion="embed")
    resolver = Resolver(Shelf(), generic=Generic(("LlamaModel", "NewModel")))
    assert resolver.inspect("LlamaModel", embed).registered == "LlamaForCausalLM"
    assert resolver.inspect("NewModel", embed).registered == "GenericNewModel"


def test_what_the_generic_backend_cannot_serve_goes_on_to_siblings() -> None:
    register_model("LlamaForCausalLM", Tiny)
    resolver = Resolver(Shelf(), generic=Generic())
    assert resolver.inspect("LlamaModel", AUTO).registered == "LlamaForCausalLM"
    with pytest.raises(UnknownNameError) as caught:
        resolver.inspect("NewModel", AUTO)
    assert told(caught)[:2] == [
        "unknown architecture 'NewModel'",
        "backend 'transformers' cannot serve 'NewModel': no modeling code for NewModel",
    ]


def test_a_conversion_makes_another_class_and_the_same_one_each_time() -> None:
    register_model("LlamaForCausalLM", Tiny)
    resolver = Resolver(Shelf(), conversions={"embed": lambda model: type("Embedding", (model,), {})})
    embed = ResolutionSettings(conversion="embed")
    found = resolver.resolve("LlamaModel", embed)
    assert found.model.__mro__[:2] == (found.model, Tiny)
    assert found[1:] == ("LlamaModel", "LlamaForCausalLM")
    assert resolver.resolve("LlamaModel", embed).model is found.model
    for other in (replace(embed, model="b"), replace(embed, runner="pooling"), replace(embed, trust_remote_code=True)):
        assert resolver.resolve("LlamaModel", other).model is not found.model
    assert resolver.resolve("LlamaForCausalLM", ResolutionSettings(conversion="none")).model is Tiny
    with pytest.raises(OptionError, match="conversion: 'classify' cannot be done; known: embed, none"):
        resolver.resolve("LlamaModel", ResolutionSettings(conversion="classify"))


def test_a_resolved_class_is_remembered_until_something_is_registered() -> None:
    register_model("Arch", Tiny)
    resolver = Resolver(Shelf())
    assert resolver.resolve("Arch", AUTO).model is Tiny
    register_model("Arch", Pooled, on_duplicate="replace")
    assert resolver.resolve("Arch", AUTO).model is Pooled


def test_settings_that_there_are_not_are_refused_together() -> None:
    with pytest.raises(OptionError) as caught:
        ResolutionSettings(runner="generating", conversion="classification")  # type: ignore[arg-type]
    assert told(caught) == [
        "runner: 'generating' is not to be had; did you mean 'generate'?",
        "conversion: 'classification' is not to be had; did you mean 'classify'?",
    ]


def test_a_listed_name_that_is_known_and_cannot_be_inspected_fails_with_its_cause() -> None:
    register_model("Torn", {"wrong": "mine.yaml:1:1: no such part"})
    register_model("Lazy", "nowhere.at_all:Model")
    with pytest.raises(ValueError, match="cannot be used") as caught:
        Resolver(Shelf()).resolve(["Torn", "Lazy"], AUTO)
    assert not isinstance(caught.value, UnknownNameError)
    assert told(caught) == [
        "architecture 'Torn' cannot be used: mine.yaml:1:1: no such part",
        "architecture 'Lazy' cannot be used: Lazy (nowhere.at_all:Model, from register_model) cannot be imported: "
        "ModuleNotFoundError: No module named 'nowhere'",
    ]
    assert isinstance(caught.value.__cause__, SpecError)


def test_a_removed_name_says_the_last_version_and_an_external_one_where_to_get_it() -> None:
    tables = {"removed": {"OldForCausalLM": "0.3"}, "external": {"FarForCausalLM": "pip install far-models"}}
    with pytest.raises(ValueError, match="removed") as caught:
        Resolver(Shelf(), **tables).inspect(["OldForCausalLM", "FarForCausalLM"], AUTO)  # type: ignore[arg-type]
    assert told(caught) == [
        "architecture 'OldForCausalLM' was removed; version 0.3 was the last to have it",
        "architecture 'FarForCausalLM' is served by another package: pip install far-models",
    ]
    assert not isinstance(caught.value, UnknownNameError)
    register_model("OldForCausalLM", Tiny)
    assert Resolver(Shelf(), **tables).resolve("OldForCausalLM", AUTO).model is Tiny  # type: ignore[arg-type]


def test_an_unknown_name_brings_the_supported_list_nearest_names_first() -> None:
    shelf = Shelf(**{name: [Path("x.yaml")] for name in ("Aardvark", "LlamaForCausalLM", "LlavaForCausalLM", "Zebra")})
    with pytest.raises(UnknownNameError) as caught:
        Resolver(shelf).inspect(["LlamaForCausal", "LlamaForCausal"], AUTO)
    first, second = told(caught)
    assert first == "unknown architecture 'LlamaForCausal'"
    assert second.startswith("supported, the nearest first: LlamaForCausalLM, LlavaForCausalLM, ")
    many = Shelf(**{f"Model{number}": [Path("x.yaml")] for number in range(50)})
    with pytest.raises(UnknownNameError, match=r"and 30 more$"):
        Resolver(many).inspect("Nothing", AUTO)
    with pytest.raises(UnknownNameError, match="none is supported"):
        Resolver(Shelf()).inspect("Nothing", AUTO)


def test_a_name_that_a_class_and_a_spec_claim_is_an_error_unless_one_was_registered_to_replace() -> None:
    resolver = Resolver(Shelf(Arch=[Path("/specs/arch.yaml"), Path("/other/arch.yaml")]))
    register_model("Arch", Tiny)
    with pytest.raises(RegistrationError) as caught:
        resolver.inspect("Arch", AUTO)
    assert all(origin in str(caught.value) for origin in ("tiny_models:Tiny", "/specs/arch.yaml", "/other/arch.yaml"))
    register_model("Arch", Tiny, on_duplicate="replace")
    assert resolver.resolve("Arch", AUTO).model is Tiny


def test_a_spec_that_was_registered_and_stands_in_a_folder_too_is_one(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text("schema: 1\n")
    register_model("Arch", tmp_path / "arch.yaml")
    assert Resolver(Shelf(Arch=[tmp_path / "arch.yaml"])).resolve("Arch", AUTO).model is Pooled


@dataclass(frozen=True)
class Asked(Queries):
    """Answers every question from one record."""

    info: ModelInfo

    def inspect(self, architectures: str | Sequence[str], settings: ResolutionSettings) -> Inspected:
        assert settings is AUTO
        return Inspected(self.info, str(architectures), str(architectures))


HELPERS = [name for name in vars(Queries) if not name.startswith("_") and name != "inspect"]
OTHER = {
    "attn_type": "encoder",
    "default_seq_pooling_type": "CLS",
    "default_tok_pooling_type": "STEP",
    "score_type": "cross-encoder",
    "supported_video_pruning_methods": ("evs",),
}


@pytest.mark.parametrize("name", [field.name for field in fields(ModelInfo) if field.name != "architecture"])
def test_a_query_helper_exists_for_each_record_field(name: str) -> None:
    plain = ModelInfo(architecture="Arch")
    changed = replace(plain, **{name: OTHER.get(name, True)})  # type: ignore[arg-type]
    answers = [[getattr(Asked(info), helper)("Arch", AUTO) for helper in HELPERS] for info in (plain, changed)]
    differing = [(before, after) for before, after in zip(*answers, strict=True) if before != after]
    assert differing == [(getattr(plain, name), getattr(changed, name))]


def test_query_helpers_answer_through_inspect() -> None:
    register_model("LlamaForCausalLM", Generator)
    resolver = Resolver(Shelf())
    assert resolver.is_text_generation_model("LlamaModel", AUTO)
    assert not resolver.is_pp_supported_model(["Unknown", "LlamaForCausalLM"], AUTO)
    with pytest.raises(UnknownNameError):
        resolver.is_pp_supported_model("Unknown", AUTO)


BEGIN = """
    from triptych.registry.resolution import ResolutionSettings, Resolver

    class Shelf:
        def architectures(self):
            return {}

        def troubles(self):
            return ["a spec cannot be read"]

    resolver, settings = Resolver(Shelf()), ResolutionSettings()
    """


def test_the_same_architecture_from_two_distributions_is_an_error_naming_both(site: Site) -> None:
    for name in ("one", "two"):
        site.install(name, f"[triptych.models]\nTwin = {name}.model:Tiny\n", {f"{name}/model.py": SOURCE})
    found = site.python(f"{BEGIN}resolver.resolve('Twin', settings)")
    assert found == (
        "architecture 'Twin' cannot be used: architecture 'Twin' is offered by "
        f"one 1.0 (one.model:Tiny, {site.folder}/one/model.py) and by "
        f"two 1.0 (two.model:Tiny, {site.folder}/two/model.py); "
        "uninstall one, or register one with on_duplicate='replace'\n"
    )


def test_a_broken_plugin_is_shown_in_a_later_unknown_architecture_error(site: Site) -> None:
    site.install("acme", "[triptych.plugins]\nacme = acme:start\n", {"acme/__init__.py": "import nothing_like_it\n"})
    found = site.python(f"{BEGIN}resolver.inspect('AcmeForCausalLM', settings)")
    assert found.splitlines() == [
        "unknown architecture 'AcmeForCausalLM'",
        "none is supported",
        "a spec cannot be read",
        "plugin acme (acme:start, from acme 1.0) cannot be imported: ModuleNotFoundError: "
        "No module named 'nothing_like_it'",
    ]


def test_an_exception_of_a_plugin_reaches_who_asks_for_a_model(site: Site) -> None:
    site.install("acme", "[triptych.plugins]\nacme = acme:start\n", {"acme/__init__.py": "def start():\n    1 / 0\n"})
    found = site.python(f"""{BEGIN}
    try:
        resolver.inspect("AcmeForCausalLM", settings)
    except ZeroDivisionError as error:
        print(error)
    """)
    assert found == "division by zero\n"


def test_a_distribution_that_is_kept_out_is_named_when_its_model_is_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", "[triptych.models]\nAcmeForCausalLM = acme.model:Tiny\n", {"acme/model.py": SOURCE})
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "")
    found = site.python(f"{BEGIN}resolver.inspect('AcmeForCausalLM', settings)")
    assert found.splitlines()[1:] == [
        "none is supported",
        "a spec cannot be read",
        "TRIPTYCH_PLUGINS keeps out acme 1.0",
    ]


def test_an_entry_point_to_a_missing_attribute_fails_with_what_is_missing(site: Site) -> None:
    site.install("acme", "[triptych.models]\nAcmeForCausalLM = acme.model:Tyni\n", {"acme/model.py": SOURCE})
    for ask in ("inspect", "resolve"):
        found = site.python(f"{BEGIN}resolver.{ask}('AcmeForCausalLM', settings)")
        assert found.startswith("architecture 'AcmeForCausalLM' cannot be used: AcmeForCausalLM (acme.model:Tyni")
        assert "AttributeError: module 'acme.model' has no attribute 'Tyni'" in found


def test_an_entry_point_that_names_no_class_is_told_as_that(site: Site) -> None:
    site.install("acme", "[triptych.models]\nAcmeForCausalLM = acme.model\n", {"acme/model.py": SOURCE})
    for ask in ("inspect", "resolve"):
        assert site.python(f"{BEGIN}resolver.{ask}('AcmeForCausalLM', settings)") == (
            "architecture 'AcmeForCausalLM' cannot be used: AcmeForCausalLM (from acme 1.0): "
            "'module:Class' with exactly one colon is wanted, not 'acme.model'\n"
        )


SPAWN = """
from multiprocessing import get_context

from triptych.errors import TriptychError
from triptych.registry.models import register_model
from triptych.registry.resolution import ResolutionSettings, Resolver


class Shelf:
    def architectures(self):
        return {}

    def troubles(self):
        return []


class Mine:
    def __init__(self, *, settings):
        pass

    def embed_input_ids(self, input_ids):
        return input_ids

    def forward(self, input_ids, positions, *, step):
        return input_ids


def ask(architecture):
    try:
        return Resolver(Shelf()).resolve(architecture, ResolutionSettings()).model.__module__
    except TriptychError as error:
        return str(error)


if __name__ == "__main__":
    register_model("MineForCausalLM", Mine)
    names = ["AcmeForCausalLM", "BetaForCausalLM", "MineForCausalLM"]
    print(*map(ask, names), sep="|")
    with get_context("spawn").Pool(1) as pool:
        print(*pool.map(ask, names), sep="|")
"""


def test_everything_is_rebuilt_in_a_spawned_process_and_what_the_parent_registered_alone_is_not_seen(
    site: Site,
) -> None:
    site.install("acme", "[triptych.models]\nAcmeForCausalLM = acme.model:Tiny\n", {"acme/model.py": SOURCE})
    plugin = "from triptych.registry.models import register_model\nfrom beta.model import Tiny\n\n"
    start = "def start():\n    register_model('BetaForCausalLM', Tiny)\n"
    files = {"beta/plug.py": plugin + start, "beta/model.py": SOURCE}
    site.install("beta", "[triptych.plugins]\nbeta = beta.plug:start\n", files)
    site.write({"spawning.py": SPAWN})
    done = site.run("spawning.py")
    parent, child = done.stdout.split("\n", 1)
    assert parent == "acme.model|beta.model|__main__"
    assert child == (
        "acme.model|beta.model|unknown architecture 'MineForCausalLM'\n"
        "supported, the nearest first: AcmeForCausalLM, BetaForCausalLM\n"
        "this is a child process, which a registration in its parent does not reach: offer the model by an entry "
        "point of the group triptych.models, or register it in a plugin of the group triptych.plugins\n"
    )
