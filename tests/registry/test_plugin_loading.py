"""Plugins: callables of other distributions, run once in a process; and who is let in at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.test_plugins import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


PLUGIN = "[triptych.plugins]\n{name} = {name}.plug:start\n"
COUNTING = "print('imported')\n\ndef start():\n    print('called')\n"


def install(site: Site, name: str, code: str) -> None:
    site.install(name, PLUGIN.format(name=name), {f"{name}/plug.py": code})


def test_a_plugin_is_called_once_in_a_process(site: Site) -> None:
    install(site, "acme", COUNTING)
    found = site.python("""
        from triptych.registry.plugins import load_plugins
        load_plugins()
        load_plugins()
        """)
    assert found == "imported\ncalled\n"


def test_a_plugin_may_ask_for_the_plugins_itself(site: Site) -> None:
    install(site, "acme", "def start():\n    from triptych.registry.plugins import load_plugins\n    load_plugins()\n")
    assert site.python("from triptych.registry.plugins import load_plugins; load_plugins(); print('done')") == "done\n"


@pytest.mark.parametrize(
    ("listed", "called"),
    [
        (None, ["acme", "beta_two"]),
        ("", []),
        ("acme", ["acme"]),
        ("Beta.Two", ["beta_two"]),
        (" acme , nobody", ["acme"]),
        ("acme,beta-two", ["acme", "beta_two"]),
    ],
)
def test_unset_is_all_and_empty_is_none_and_else_names(
    site: Site, monkeypatch: pytest.MonkeyPatch, listed: str | None, called: list[str]
) -> None:
    for name in ("acme", "beta_two"):
        install(site, name, f"def start():\n    print({name!r})\n")
    monkeypatch.delenv("TRIPTYCH_PLUGINS", raising=False)
    if listed is not None:
        monkeypatch.setenv("TRIPTYCH_PLUGINS", listed)
    assert site.python("from triptych.registry.plugins import load_plugins; load_plugins()").split() == called


def test_the_list_names_distributions_and_plugins_also_by_their_own_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = "[triptych.plugins]\nstarter = acme.plug:start\n[triptych.models]\nstarter = acme.model:Tiny\n"
    site.install("acme", entries, {"acme/plug.py": "def start():\n    print('called')\n"})
    code = """
        from triptych.registry.models import model_names
        from triptych.registry.plugins import load_plugins
        load_plugins()
        print(model_names())
        """
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "starter")
    assert site.python(code) == "called\n[]\n"
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "acme")
    assert site.python(code) == "called\n['starter']\n"


def test_what_triptych_ships_is_let_in_whatever_the_list_says(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme", "[triptych.parts]\nnorm.extra = acme.norms:Spec\n", {})
    code = """
        from triptych.registry.allow_list import allowed_entries, left_out
        print(any(entry.name == "norm.rms_norm" for entry in allowed_entries("triptych.parts")))
        print([entry.name for entry in left_out("triptych.parts")])
        """
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "")
    assert site.python(code) == "True\n['norm.extra']\n"


def test_groups_that_open_network_endpoints_load_only_when_listed_explicitly(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = "[triptych.endpoints]\nserver = acme.plug:start\n"
    site.install("acme", entries, {"acme/plug.py": "def start():\n    print('listening')\n"})
    code = """
        from triptych.registry.allow_list import ENDPOINTS
        from triptych.registry.plugins import load_plugins
        load_plugins()
        load_plugins(ENDPOINTS)
        """
    monkeypatch.delenv("TRIPTYCH_PLUGINS", raising=False)
    assert site.python(code) == ""
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "other")
    assert site.python(code) == ""
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "server")
    assert site.python(code) == "listening\n"


def test_what_triptych_ships_opens_no_endpoint_unless_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    from triptych.registry import allow_list
    from triptych.registry.entries import Entry

    own = Entry("http", "triptych.serve:start", "triptych 0.1.0")
    monkeypatch.setattr(allow_list, "entries", lambda group: (own,) if group == allow_list.ENDPOINTS else ())
    monkeypatch.delenv("TRIPTYCH_PLUGINS", raising=False)
    assert allow_list.allowed_entries(allow_list.ENDPOINTS) == ()
    monkeypatch.setenv("TRIPTYCH_PLUGINS", "http")
    assert allow_list.allowed_entries(allow_list.ENDPOINTS) == (own,)


def test_a_plugin_that_cannot_be_imported_is_logged_and_skipped_and_strict_raises(site: Site) -> None:
    install(site, "broken", "import nothing_like_it\n")
    site.install("missing", "[triptych.plugins]\nmissing = missing:start\n", {})
    site.install("number", "[triptych.plugins]\nnumber = number:five\n", {"number/__init__.py": "five = 5\n"})
    install(site, "whole", "def start():\n    print('called')\n")
    found = site.python("""
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
        from triptych.registry.plugins import load_plugins, plugin_failures
        load_plugins()
        load_plugins()
        print(len(plugin_failures()))
        load_plugins(strict=True)
        """)
    broken, missing, number, called, count, *strict = found.splitlines()
    assert broken == (
        "WARNING plugin broken (broken.plug:start, from broken 1.0) cannot be imported: ModuleNotFoundError: "
        "No module named 'nothing_like_it'; it is skipped"
    )
    assert "AttributeError: module 'missing' has no attribute 'start'" in missing
    assert number == "WARNING plugin number (number:five, from number 1.0) cannot be called; it is skipped"
    assert (called, count) == ("called", "3")
    assert [line.split()[1] for line in strict] == ["broken", "missing", "number"]


def test_an_exception_of_a_called_plugin_propagates_after_the_others_ran_and_the_next_call_tries_again(
    site: Site,
) -> None:
    install(site, "acme", "import sys\n\ndef start():\n    sys.ready or 1 / 0\n")
    install(site, "beta", "import sys\n\ndef start():\n    if not sys.ready:\n        raise KeyError('beta')\n")
    install(site, "last", "def start():\n    print('last')\n")
    found = site.python("""
        import sys
        from triptych.registry.plugins import load_plugins
        sys.ready = False
        for _ in range(2):
            try:
                load_plugins()
            except ZeroDivisionError as error:
                print(error, *error.__notes__, sep="|")
        sys.ready = True
        load_plugins()
        print("all", "once")
        """)
    told = (
        "division by zero|raised by plugin acme of acme 1.0 (acme.plug:start)"
        "|KeyError: 'beta' raised by plugin beta of beta 1.0 (beta.plug:start)"
    )
    assert found.splitlines() == ["last", told, told, "all once"]


def test_two_distributions_offering_one_plugin_are_an_error_naming_both_and_neither_is_called(site: Site) -> None:
    for name in ("one", "two"):
        entries = f"[triptych.plugins]\ntwin = {name}.plug:start\n"
        site.install(name, entries, {f"{name}/plug.py": COUNTING})
    install(site, "whole", "def start():\n    print('whole')\n")
    found = site.python("from triptych.registry.plugins import load_plugins; load_plugins()")
    twice = "plugin 'twin' is offered by one 1.0 (one.plug:start) and by two 1.0 (two.plug:start); uninstall one"
    assert found.splitlines() == ["whole", twice]
