"""Processors, dummy inputs, schemas and ways to transcribe by name: one mechanism for all, tried on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.test_plugins import Site
from triptych.errors import RegistrationError, RegistrationTypeError, UnknownNameError
from triptych.registry import named
from triptych.registry.allow_list import _allowed
from triptych.registry.entries import entries
from triptych.registry.named import Kind
from triptych.schemas import TensorSchema, compile_schema, tagged_union

KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS = {"processor": "processor", "dummy_inputs": "dummy inputs", "schema": "schema", "transcription": "transcription"}
REGISTER: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "processor": named.processor,
    "dummy_inputs": named.dummy_inputs,
    "schema": named.schema,
    "transcription": named.transcription,
}
GET: dict[str, Callable[[str], object]] = {
    "processor": named.get_processor,
    "dummy_inputs": named.get_dummy_inputs,
    "schema": named.get_schema,
    "transcription": named.get_transcription,
}
NAMES: dict[str, Callable[[], list[str]]] = {
    "processor": named.processor_names,
    "dummy_inputs": named.dummy_inputs_names,
    "schema": named.schema_names,
    "transcription": named.transcription_names,
}
GROUPS = {
    "processor": "triptych.processors",
    "dummy_inputs": "triptych.dummy_inputs",
    "schema": "triptych.schemas",
    "transcription": "triptych.transcriptions",
}
SHIPPED: dict[str, list[str]] = {  # what is offered without anybody's help
    "processor": ["internvl_chat", "minicpmv", "paligemma", "pixtral"],
    "transcription": ["voxtral", "whisper"],
}


def with_shipped(kind: Kind, *names: str) -> list[str]:
    return sorted([*names, *SHIPPED.get(kind, [])])


class First(TensorSchema):
    """Fits every kind."""


class Second(TensorSchema):
    """And so does this."""


class Third(TensorSchema):
    """And this."""


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(named, "_decorated", {})
    yield
    entries.cache_clear()
    _allowed.cache_clear()


@pytest.fixture
def site(tmp_path: Any) -> Site:
    return Site(tmp_path / "site")


@pytest.mark.parametrize("kind", KINDS)
def test_the_decorator_registers_for_this_process_and_gives_the_object_itself(kind: Kind) -> None:
    assert REGISTER[kind]("acme")(First) is First
    assert "acme" in NAMES[kind]()
    assert GET[kind]("acme") is First
    assert all("acme" not in NAMES[other]() for other in KINDS if other != kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_brings_the_nearest(kind: Kind) -> None:
    REGISTER[kind]("acme")(First)
    for look in (GET[kind], lambda name: named.check_name(kind, name)):
        with pytest.raises(UnknownNameError, match=rf"unknown {WORDS[kind]} 'amce'; did you mean 'acme'\?"):
            look("amce")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the first message that names a distribution reads all that is installed
@given(asked=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([First, Second, Third])), max_size=8))
def test_under_any_order_the_first_has_the_name_the_same_may_ask_again_and_no_other(
    kind: Kind, asked: list[tuple[str, type]]
) -> None:
    named._decorated.clear()
    holders: dict[str, type] = {}
    for name, target in asked:
        holder = holders.setdefault(name, target)
        if holder is target:
            assert REGISTER[kind](name)(target) is target
        else:
            with pytest.raises(RegistrationError) as refused:
                REGISTER[kind](name)(target)
            message, where = str(refused.value), rf"test_named:{holder.__name__}, {__file__}) already, and "
            assert message.startswith(f"{WORDS[kind]} {name!r} is ")
            assert where in message
            assert message.endswith(f"test_named:{target.__name__}, {__file__}) asks for the name")
    shipped = with_shipped(kind)
    assert {name: GET[kind](name) for name in NAMES[kind]() if name not in shipped} == holders


def made_in_a_function() -> type:
    class Made(TensorSchema):
        """Another class each time, under one name."""

    return Made


def test_classes_that_a_function_makes_are_not_one_because_of_their_name() -> None:
    named.schema("made")(made_in_a_function())
    with pytest.raises(RegistrationError, match=r"schema 'made' is .*Made.* already"):
        named.schema("made")(made_in_a_function())


def test_a_module_that_is_read_twice_registers_the_same_again() -> None:
    again = type("First", (TensorSchema,), {"__module__": __name__, "__qualname__": "First"})
    named.schema("acme")(First)
    named.schema("acme")(again)
    assert named.get_schema("acme") is again


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "target", "error", "message"),
    [
        (5, First, RegistrationTypeError, "the name of a WORD is a str, not 5"),
        ("", First, RegistrationError, "the name of a WORD is empty"),
        ("acme", "acme:Thing", RegistrationTypeError, "WORD 'acme': a .* is wanted, not 'acme:Thing'"),
    ],
)
def test_what_cannot_be_registered_is_told(
    kind: Kind, name: Any, target: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message.replace("WORD", WORDS[kind])):
        REGISTER[kind](name)(target)
    assert named._decorated == {}


def test_a_schema_is_a_schema_class_or_a_union_of_some() -> None:
    union = tagged_union("type", compile_schema("A", {"type": "a"}), compile_schema("B", {"type": "b"}))
    named.schema("either")(union)
    assert named.get_schema("either") is union
    with pytest.raises(RegistrationTypeError, match=r"schema 'acme': a TensorSchema class or a tagged union of them"):
        named.schema("acme")(dict)


THING = "from triptych.schemas import TensorSchema\n\n\nclass Thing(TensorSchema):\n    pass\n"
OTHER = THING.replace("Thing", "Other")


def install(site: Site, monkeypatch: pytest.MonkeyPatch, name: str, entry_points: str, text: str = THING) -> None:
    """A distribution that this process sees, with a module `things`."""
    site.install(name, entry_points, {f"{name}/things.py": text})
    monkeypatch.syspath_prepend(str(site.folder))
    entries.cache_clear()
    _allowed.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_point_offers_a_name_and_is_imported_when_asked_for(site: Site, kind: Kind) -> None:
    site.install("acme", f"[{GROUPS[kind]}]\nacme = acme.things:Thing\n", {"acme/things.py": THING})
    found = site.python(f"""
        import sys
        from triptych.cli import main
        from triptych.registry import named
        named.check_name({kind!r}, "acme")
        assert named.names_of({kind!r}) == {with_shipped(kind, "acme")!r} and named.named_troubles() == []
        assert main(["list"]) == 0 and main(["list", {GROUPS[kind].rpartition(".")[2]!r}]) == 0
        print("loaded:", sorted({{"torch", "acme"}} & sys.modules.keys()))
        print(named.get_{kind}("acme"), "torch" in sys.modules)
        """)
    *listed, loaded, got = found.splitlines()
    assert "acme (acme 1.0)" in [" ".join(line.split()) for line in listed[-len(with_shipped(kind, "acme")) :]]
    assert (loaded, got) == ("loaded: []", "<class 'acme.things.Thing'> False")
    assert f"{GROUPS[kind].rpartition('.')[2]}:\n  {'acme':<20} (acme 1.0)\n" in found


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_two_distributions_offer_troubles_those_who_ask_for_it_alone(site: Site, kind: Kind) -> None:
    for name in ("one", "two"):
        entry_points = f"[{GROUPS[kind]}]\ntwin = {name}.things:Thing\n{name} = {name}.things:Thing\n"
        site.install(name, entry_points, {f"{name}/things.py": THING})
    found = site.python(f"""
        from triptych.registry import named
        print(named.get_{kind}("one").__module__, named.names_of({kind!r}), *named.named_troubles(), sep="|")
        for look in (named.get_{kind}, lambda name: named.check_name({kind!r}, name)):
            try:
                look("twin")
            except TriptychError as error:
                print(error)
        """)
    doubled = (
        f"{WORDS[kind]} 'twin' is offered by one 1.0 (one.things:Thing) and by two 1.0 (two.things:Thing); "
        "uninstall one"
    )
    names = with_shipped(kind, "one", "twin", "two")
    assert found.splitlines() == [f"one.things|{names}|{doubled}", doubled, doubled]


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_that_is_not_let_in_offers_nothing_and_the_error_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    install(site, monkeypatch, "acme", f"[{GROUPS[kind]}]\nacme = acme.things:Thing\n")
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "other")
    assert NAMES[kind]() == with_shipped(kind)
    with pytest.raises(UnknownNameError, match=r"'acme'.* \(TRIPTYCH_PLUGINS keeps out acme 1.0, which offers it\)"):
        GET[kind]("acme")
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "other, Acme")
    assert NAMES[kind]() == with_shipped(kind, "acme")
    named.check_name(kind, "acme")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"acme \(acme\.things:Thing, from acme 1\.0\) cannot be imported: ZeroDivisionError"),
        (
            "Thing = 5",
            r"schema 'acme' is offered by acme 1\.0 \(acme\.things:Thing\): a TensorSchema class or .* not 5",
        ),
        (f"from triptych import schema\n{OTHER}\nThing = schema('acme')(Other)", ""),
        (
            f"from triptych import schema\n{OTHER}\nThing = schema('acem')(Other)",
            r"'acme' is offered by acme 1\.0 \(acme\.things:Thing\), which its decorator calls schema 'acem'; both say",
        ),
        (
            f"from triptych import dummy_inputs\n{OTHER}\nThing = dummy_inputs('acme')(Other)",
            r"which its decorator calls dummy inputs 'acme'; both say one kind and one name",
        ),
        (
            f"from triptych import schema\n{THING}\n\nclass Other(Thing):\n    pass\n\n\nschema('acme')(Other)\n",
            r"schema 'acme' is offered by acme 1\.0 \(acme\.things:Thing\) and by .*acme\.things:Other",
        ),
    ],
)
def test_what_an_entry_point_leads_to_and_what_decorators_say_of_it_agree(site: Site, text: str, message: str) -> None:
    site.install("acme", "[triptych.schemas]\nacme = acme.things:Thing\n", {"acme/things.py": text})
    found = site.python("from triptych.registry import named\nprint(named.get_schema('acme').__name__)")
    if not message:
        assert found == "Other\n"
    else:
        assert re.search(message, found), found


def test_a_decorator_of_this_process_cannot_take_an_installed_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, monkeypatch, "rival", "[triptych.schemas]\nheld = rival.things:Thing\n")
    named.schema("held")(First)
    with pytest.raises(
        RegistrationError, match=r"'held' is offered by rival 1\.0 \(rival\.things:Thing\) and by .*:First"
    ):
        named.get_schema("held")
