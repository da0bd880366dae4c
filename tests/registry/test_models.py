"""Registering model classes and specs: what is taken, what is refused, who has a name that two want."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.test_plugins import Site
from tests.registry.tiny_models import SOURCE, Broken, Generator, Pooled, Tiny
from triptych.errors import CapabilityError, RegistrationError, RegistrationTypeError
from triptych.registry import models as models_module
from triptych.registry.models import (
    ClassModel,
    LazyModel,
    OnDuplicate,
    SpecModel,
    Target,
    claims,
    model,
    model_names,
    register_model,
)
from triptych.registry.processing import RegistrationWarning

HERE = "tests.registry.tiny_models"
POLICIES: list[OnDuplicate] = ["error", "warn", "replace"]


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def only(architecture: str) -> models_module.Model:
    (found,) = claims(architecture)
    return found


def test_a_class_is_inspected_at_once() -> None:
    register_model("TinyForCausalLM", Generator)
    found = only("TinyForCausalLM")
    assert isinstance(found, ClassModel)
    assert found.load() is Generator
    assert (found.inspect().architecture, found.inspect().is_text_generation_model) == ("TinyForCausalLM", True)
    assert model_names() == ["TinyForCausalLM"]


def test_a_class_that_is_no_model_fails_at_registration_and_every_missing_piece_is_named() -> None:
    with pytest.raises(CapabilityError) as caught:
        register_model("BrokenForCausalLM", Broken)
    assert str(caught.value).splitlines() == [
        "Broken: this class is no model: it has no embed_input_ids",
        "Broken: this class is no model: its forward does not take input_ids",
        "Broken: this class is no model: its forward does not take positions",
    ]
    assert claims("BrokenForCausalLM") == []


def test_a_class_that_declares_what_it_does_not_hold_fails_at_registration() -> None:
    class Flagged(Tiny):
        supports_pp = True

    with pytest.raises(CapabilityError, match=r"Flagged.*supports_pp.*make_empty_intermediate_tensors"):
        register_model("FlaggedForCausalLM", Flagged)


def test_a_string_stays_lazy_until_asked() -> None:
    register_model("LazyForCausalLM", "nowhere.at_all:Model")
    found = only("LazyForCausalLM")
    assert isinstance(found, LazyModel)
    with pytest.raises(RuntimeError, match=r"LazyForCausalLM \(nowhere.at_all:Model, from register_model\) cannot be"):
        found.load()


def test_a_spec_path_or_mapping_is_accepted_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("schema: 1\n")
    mapping = {"schema": 1, "parts": {"norm": "rms_norm"}}
    register_model("ByPath", tmp_path / "mine.yaml")
    register_model("ByText", str(tmp_path / "mine.yaml"))
    register_model("ByMapping", mapping)
    mapping["parts"] = None
    found = [only(name) for name in ("ByPath", "ByText", "ByMapping")]
    assert all(isinstance(one, SpecModel) for one in found)
    assert [one.target for one in found[:2]] == [tmp_path / "mine.yaml"] * 2
    assert found[2].target == {"schema": 1, "parts": {"norm": "rms_norm"}}, "what was registered stays as it was"


@pytest.mark.parametrize(
    "target", ["no_colon", "two:colons:here", ":Class", "module:", "a b:C", "../x:C", "a..b:C", ""]
)
def test_text_without_exactly_one_colon_between_names_is_a_value_error(target: str) -> None:
    with pytest.raises(ValueError, match=r"Arch: 'module:Class' .* is wanted, not ") as caught:
        register_model("Arch", target)
    assert isinstance(caught.value, RegistrationError)
    assert not isinstance(caught.value, TypeError)


def test_other_types_are_type_errors_and_all_faults_are_told_together() -> None:
    with pytest.raises(TypeError) as caught:
        register_model(7, 5, on_duplicate="relpace")  # type: ignore[arg-type]
    assert isinstance(caught.value, RegistrationTypeError)
    assert str(caught.value).splitlines() == [
        "an architecture is a str, not 7",
        "7: a class, 'module:Class' or a spec is wanted, not 5",
        "on_duplicate: 'relpace' is no policy; did you mean 'replace'?",
    ]


def test_an_empty_name_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistrationError) as caught:
        register_model("", tmp_path / "gone.yaml")
    assert [problem.message for problem in caught.value.problems] == [
        "an architecture is a name, not ''",
        f": there is no spec file {tmp_path}/gone.yaml",
    ]


def test_the_decorator_registers_a_class_under_each_name() -> None:
    @model("OneForCausalLM", "TwoForCausalLM")
    class Decorated(Tiny):
        pass

    assert only("OneForCausalLM").target is Decorated
    two = only("TwoForCausalLM")
    assert isinstance(two, ClassModel)
    assert two.inspect().architecture == "TwoForCausalLM"
    with pytest.raises(RegistrationError):
        model("OneForCausalLM")(Tiny)
    assert model("OneForCausalLM", on_duplicate="replace")(Tiny) is Tiny


def test_by_default_a_name_that_is_taken_is_an_error_naming_both_origins() -> None:
    register_model("Arch", Tiny)
    with pytest.raises(RegistrationError) as caught:
        register_model("Arch", "json:JSONDecoder")
    file = Path(__file__).with_name("tiny_models.py")
    first, second = str(caught.value).split(", and ")
    assert first == f"architecture 'Arch' is served by no distribution ({HERE}:Tiny, {file})"
    assert second.startswith("no distribution (json:JSONDecoder, /")
    assert second.endswith("json/__init__.py) asks for the name; on_duplicate='replace' gives it away")
    assert only("Arch").target is Tiny


def test_under_warn_the_newcomer_has_the_name_and_a_warning_names_both() -> None:
    register_model("Arch", Tiny)
    with pytest.warns(
        RegistrationWarning, match=r"'Arch' is served by .*:Tiny, .* and .*:Pooled, .* has it now"
    ) as caught:
        register_model("Arch", Pooled, on_duplicate="warn")
    assert caught[0].filename == __file__
    assert only("Arch").target is Pooled


def test_under_replace_only_a_debug_message_is_left(caplog: pytest.LogCaptureFixture) -> None:
    register_model("Arch", Tiny)
    with caplog.at_level(logging.DEBUG, logger="triptych.registry.models"):
        register_model("Arch", Pooled, on_duplicate="replace")
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert only("Arch").target is Pooled


def test_a_class_and_its_name_are_the_same_object() -> None:
    register_model("Arch", f"{HERE}:Tiny")
    register_model("Arch", Tiny)
    assert isinstance(only("Arch"), ClassModel)
    register_model("Arch", f"{HERE}:Tiny")
    assert isinstance(only("Arch"), ClassModel), "what was inspected stays so"


TARGETS: list[Target] = [Tiny, Pooled, f"{HERE}:Tiny", f"{HERE}:Pooled", "elsewhere:Tiny", {"schema": 1}, {"schema": 2}]


def thing(target: Target) -> object:
    """What a target means: a class and its name mean one thing."""
    return f"{HERE}:{target.__name__}" if isinstance(target, type) else target


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(TARGETS), st.sampled_from(POLICIES)), min_size=1, max_size=6))
def test_duplicate_registration_under_every_policy(steps: list[tuple[Target, OnDuplicate]]) -> None:
    """One thing has the name after each step: the first, until another comes under `warn` or `replace`."""
    models_module._registered.clear()
    holder: object = None
    for target, policy in steps:
        taken = holder is not None and thing(target) != holder
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if taken and policy == "error":
                with pytest.raises(RegistrationError, match="asks for the name"):
                    register_model("Arch", target, on_duplicate=policy)
            else:
                register_model("Arch", target, on_duplicate=policy)
                holder = thing(target)
        assert [warning.category for warning in told] == ([RegistrationWarning] if taken and policy == "warn" else [])
        assert thing(only("Arch").target) == holder


ENTRY = "[triptych.models]\nAcmeForCausalLM = acme.model:Tiny\n"


def test_an_entry_point_offers_a_class_and_listing_imports_nothing(site: Site) -> None:
    site.install("acme", ENTRY, {"acme/model.py": "raise RuntimeError('nobody asked for me')\n"})
    found = site.python("""
        import sys
        from triptych.registry.models import claims, model_names, model_troubles
        (offer,) = claims("AcmeForCausalLM")
        print(model_names(), model_troubles(), offer.origin, sorted({"acme", "torch"} & sys.modules.keys()))
        offer.load()
        """)
    listed, failed = found.splitlines()
    assert listed == f"['AcmeForCausalLM'] [] acme 1.0 (acme.model:Tiny, {site.folder}/acme/model.py) []"
    assert failed == (
        "AcmeForCausalLM (acme.model:Tiny, from acme 1.0) cannot be imported: RuntimeError: nobody asked for me"
    )


def test_a_decorator_and_its_entry_point_agree_or_the_policy_decides(site: Site) -> None:
    decorated = f"from triptych.registry.models import model\n\n@model('AcmeForCausalLM'){SOURCE}".replace(
        ")\n\n", ")\n"
    )
    site.install("acme", ENTRY, {"acme/model.py": decorated, "acme/other.py": SOURCE})
    found = site.python("""
        from triptych.registry.models import claims, register_model
        import acme.model, acme.other
        print(*(type(offer).__name__ for offer in claims("AcmeForCausalLM")))
        register_model("AcmeForCausalLM", acme.other.Tiny, on_duplicate="replace")
        print(*(offer.target.__module__ for offer in claims("AcmeForCausalLM")))
        register_model("AcmeForCausalLM", acme.other.Tiny)
        print(*(offer.target.__module__ for offer in claims("AcmeForCausalLM")))
        register_model("AcmeForCausalLM", "acme:Missing")
        """)
    first, second, third, refused = found.splitlines()
    assert (first, second, third) == ("ClassModel", "acme.other", "acme.other")
    assert refused.startswith("architecture 'AcmeForCausalLM' is served by acme 1.0 (acme.other:Tiny, ")


def test_registering_against_an_entry_point_names_both_origins(site: Site) -> None:
    site.install("acme", ENTRY, {"acme/model.py": SOURCE})
    site.install("rival", "", {"rival/model.py": SOURCE})
    found = site.python("""
        from triptych.registry.models import register_model
        register_model("AcmeForCausalLM", "rival.model:Tiny")
        """)
    assert found == (
        f"architecture 'AcmeForCausalLM' is served by acme 1.0 (acme.model:Tiny, {site.folder}/acme/model.py), and "
        f"rival 1.0 (rival.model:Tiny, {site.folder}/rival/model.py) asks for the name; "
        "on_duplicate='replace' gives it away\n"
    )


def test_the_same_architecture_from_two_distributions_is_a_trouble_naming_both(site: Site) -> None:
    site.install("one", "[triptych.models]\nTwin = one.model:Tiny\n", {})
    site.install("two", "[triptych.models]\nTwin = two.model:Tiny\nOdd = two.model\n", {})
    found = site.python("""
        from triptych.registry.models import model_troubles
        print(*model_troubles(), sep="\\n")
        """)
    assert found.splitlines() == [
        "architecture 'Twin' is offered by one 1.0 (one.model:Tiny) and by two 1.0 (two.model:Tiny); uninstall one, "
        "or register one with on_duplicate='replace'",
        "Odd (from two 1.0): 'module:Class' with exactly one colon is wanted, not 'two.model'",
    ]


def test_a_name_that_was_taken_by_replace_stays_taken_when_the_same_is_registered_again() -> None:
    register_model("Arch", Tiny)
    assert only("Arch").overrides is False
    register_model("Arch", Tiny, on_duplicate="replace")
    register_model("Arch", Tiny)
    assert only("Arch").overrides is True, "what was said once is not taken back by saying less"


def test_what_is_registered_is_listed_with_its_origin_and_what_is_wrong_beside_it(site: Site) -> None:
    boom = "raise RuntimeError('nobody asked for me')"
    for name in ("one", "two"):
        site.install(name, f"[triptych.models]\nTwin = {name}.model:Tiny\n", {f"{name}/model.py": boom})
    site.install("acme", "[triptych.models]\nAcmeForCausalLM = acme.model:Tiny\nOdd = acme\n", {"acme/model.py": boom})
    listed = site.triptych("list", "classes")
    assert listed.returncode == 0
    assert listed.stdout.splitlines() == [
        f"AcmeForCausalLM      acme 1.0 (acme.model:Tiny, {site.folder}/acme/model.py)",
        f"Odd                  acme 1.0 (acme, {site.folder}/acme/__init__.py)",
        f"Twin                 one 1.0 (one.model:Tiny, {site.folder}/one/model.py), "
        f"two 1.0 (two.model:Tiny, {site.folder}/two/model.py)",
    ]
    assert [line.partition(";")[0] for line in listed.stderr.splitlines()] == [
        f"architecture 'Twin' is offered by one 1.0 (one.model:Tiny, {site.folder}/one/model.py) and by "
        f"two 1.0 (two.model:Tiny, {site.folder}/two/model.py)",
        "Odd (from acme 1.0): 'module:Class' with exactly one colon is wanted, not 'acme'",
    ]
    rows = json.loads(site.triptych("list", "--json").stdout)["classes"]
    assert [row["name"] for row in rows] == ["AcmeForCausalLM", "Odd", "Twin"]
    assert [len(row["origins"]) for row in rows] == [1, 1, 2]
