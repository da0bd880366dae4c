"""The record of a class that is not imported here: from the cache, else from a fresh process."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired
from types import MappingProxyType

import pytest

from tests.registry.test_plugins import Site
from tests.registry.tiny_models import SOURCE, WITH_LOGITS
from triptych.errors import PluginError
from triptych.registry.inspection import inspect_class
from triptych.registry.models import LazyModel
from triptych.registry.record_cache import get_cache_folder, load_record

ENTRY = "[triptych.models]\nAcmeForCausalLM = acme.model:Tiny\n"
BASED = MappingProxyType(  # a class whose base stands in another file, and that one's base in another package
    {
        "acme/model.py": "from acme.base import Base\n\nprint('imported')\n\nclass Tiny(Base):\n    pass\n",
        "acme/base.py": "from core.root import Root\n\nclass Base(Root):\n    pass\n",
        "acme/beside.py": "",
    }
)
INSPECT = """
    import os, sys
    from triptych.registry.inspection import inspect_class
    child = []
    sys.addaudithook(lambda name, details: child.append(name) if name == "subprocess.Popen" else None)
    info = inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM")
    print(info.architecture, info.is_text_generation_model, len(child))
    assert not {"acme", "torch"} & sys.modules.keys()
    """

PLUGIN = """
import acme.base

def start():
    print("plugin")
    acme.base.Base.compute_logits = lambda self, hidden: hidden
"""


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "model_info"


@pytest.fixture
def site(tmp_path: Path, records: Path) -> Site:  # noqa: ARG001 (no test leaves a record in the user's cache)
    return Site(tmp_path / "site")


@pytest.fixture
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The packages are on this process's path too, and nothing is remembered."""
    inspect_class.cache_clear()
    site.folder.mkdir()
    monkeypatch.syspath_prepend(str(site.folder))
    return site


def install(site: Site) -> None:
    site.install("core", "", {"core/root.py": SOURCE.replace("Tiny", "Root")})
    site.install("acme", ENTRY, BASED)


def test_a_lazy_class_is_inspected_in_a_fresh_process_and_then_read_from_the_file_cache(site: Site) -> None:
    install(site)
    assert site.python(INSPECT) == "AcmeForCausalLM False 1\n"
    assert site.python(INSPECT) == "AcmeForCausalLM False 0\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("acme/model.py", BASED["acme/model.py"].replace("    pass\n", WITH_LOGITS)),
        ("acme/base.py", BASED["acme/base.py"].replace("    pass\n", WITH_LOGITS)),
        ("core/root.py", SOURCE.replace("Tiny", "Root") + WITH_LOGITS),
    ],
    ids=["the class", "a base class", "a base class of another package"],
)
def test_an_edit_in_any_file_that_the_class_is_made_of_is_seen_after_its_record_was_cached(
    site: Site, file: str, text: str
) -> None:
    install(site)
    assert site.python(INSPECT) == "AcmeForCausalLM False 1\n"
    site.write({file: text})
    assert site.python(INSPECT) == "AcmeForCausalLM True 1\n"
    assert site.python(INSPECT) == "AcmeForCausalLM True 0\n"


def test_an_edit_in_a_file_beside_is_no_reason_to_inspect_again_and_a_new_version_is(site: Site) -> None:
    install(site)
    assert site.python(INSPECT) == "AcmeForCausalLM False 1\n"
    site.write({"acme/beside.py": "changed = True\n"})
    assert site.python(INSPECT) == "AcmeForCausalLM False 0\n"
    site.write({"acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.1\n"})
    assert site.python(INSPECT) == "AcmeForCausalLM False 1\n"


def test_a_cache_entry_is_one_json_per_module_and_class_for_the_user_alone(site: Site, records: Path) -> None:
    install(site)
    site.python(INSPECT)
    (file,) = records.iterdir()
    assert file.name == "acme.model-Tiny.json"
    assert json.loads(file.read_text())["info"]["architecture"] == "AcmeForCausalLM"
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (records, records.parent)} == {0o700}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_others_may_read_is_closed_to_them(site: Site, records: Path) -> None:
    install(site)
    records.mkdir(parents=True)
    records.chmod(0o755)
    site.python(INSPECT)
    assert stat.S_IMODE(records.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"7", b"\xff\xfe", b"{}", b'{"key": 3}', b'{"key": {"modules": 5}, "info": {}}', b"[" * 100_000],
)
def test_a_bad_entry_is_a_miss(records: Path, text: bytes) -> None:
    records.mkdir(parents=True)
    (records / "acme.model-Tiny.json").write_bytes(text)
    assert load_record("acme.model:Tiny") is None


def test_an_entry_with_the_right_key_and_a_wrong_record_is_a_miss_and_is_replaced(site: Site, records: Path) -> None:
    install(site)
    site.python(INSPECT)
    (file,) = records.iterdir()
    whole = file.read_text()
    entry = json.loads(whole)
    file.write_text(json.dumps({**entry, "info": {**entry["info"], "supports_flying": True}}))
    assert site.python(INSPECT) == "AcmeForCausalLM False 1\n"
    assert file.read_text() == whole


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(site: Site, records: Path) -> None:
    install(site)
    records.parent.write_text("a file stands where the folder should be")
    assert [site.python(INSPECT) for _ in range(2)] == ["AcmeForCausalLM False 1\n"] * 2


def test_a_class_edited_while_it_is_inspected_is_not_kept(site: Site, records: Path) -> None:
    install(site)
    site.write({"acme/model.py": f"{BASED['acme/model.py']}\nimport os\nos.utime(__file__)\n"})
    site.python(INSPECT)
    assert not records.exists()


def test_one_class_under_two_architectures_is_one_entry_and_two_records(here: Site, records: Path) -> None:
    install(here)
    found = [inspect_class("acme.model:Tiny", architecture=name) for name in ("AcmeForCausalLM", "AcmeModel")]
    assert [info.architecture for info in found] == ["AcmeForCausalLM", "AcmeModel"]
    assert len(list(records.iterdir())) == 1


def test_results_are_memoised_and_failures_are_not(here: Site) -> None:
    with pytest.raises(PluginError, match="No module named 'acme'"):
        inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM")
    install(here)
    first = inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM")
    assert inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM") is first
    assert inspect_class.cache_info().maxsize == 128


def test_the_standard_error_of_the_process_is_in_the_error_and_the_cause_is_chained(here: Site) -> None:
    here.install(
        "acme", ENTRY, {"acme/model.py": "import os\nos.write(2, b'driver too old\\n')\nimport nothing_like_it\n"}
    )
    with pytest.raises(PluginError) as caught:
        inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM")
    message = str(caught.value)
    assert message.startswith(
        "AcmeForCausalLM (acme.model:Tiny, from acme 1.0) cannot be inspected: triptych.errors.PluginError: "
    )
    assert "No module named 'nothing_like_it'\nits process wrote:\n  driver too old\n" in message
    assert isinstance(caught.value.__cause__, CalledProcessError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "module 'acme.model' has no attribute 'Tiny'"),
        ("Tiny = 5\n", r"AcmeForCausalLM \(acme.model:Tiny, from register_model\) is no class: 5"),
        ("class Tiny:\n    pass\n", "this class is no model: it has no embed_input_ids"),
        ("import os\nos._exit(3)\n", "returned non-zero exit status 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "died with <Signals.SIGKILL: 9>"),
        ("import os\nos._exit(0)\n", "Expecting value"),
    ],
    ids=["missing attribute", "no class", "no model", "leaves", "dies", "says nothing"],
)
def test_a_class_that_cannot_be_inspected_says_why(here: Site, text: str, message: str) -> None:
    here.install("acme", ENTRY, {"acme/model.py": text})
    with pytest.raises(PluginError, match=message):
        inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM")


def test_it_says_which_distribution_offers_the_class(here: Site) -> None:
    here.write({"core/__init__.py": "", "core/model.py": "import nothing_like_it\n"})  # a package of nobody's
    with pytest.raises(PluginError) as caught:
        LazyModel("AcmeForCausalLM", "core.model:Tiny", "acme 1.0").inspect()
    named = r"AcmeForCausalLM \(core.model:Tiny, from acme 1.0\) cannot be "
    assert re.match(rf"{named}inspected: triptych.errors.PluginError: {named}imported: Mod", str(caught.value))
    assert "register_model" not in str(caught.value)


def test_inspection_is_bounded_in_time_and_what_the_process_leaves_running_does_not_hold_it(here: Site) -> None:
    sleeping = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9)'])\n"
    here.install("acme", ENTRY, {"acme/model.py": f"{sleeping}time.sleep(60)\n"})
    began = time.monotonic()
    with pytest.raises(PluginError, match=r"cannot be inspected: no answer within 1\.5 s") as caught:
        inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM", timeout_s=1.5)
    assert time.monotonic() - began < 7
    assert isinstance(caught.value.__cause__, TimeoutExpired)


def test_the_process_loads_plugins_and_what_they_print_is_no_part_of_the_answer(here: Site) -> None:
    install(here)
    here.install("beta", "[triptych.plugins]\nbeta = beta:start\n", {"beta/__init__.py": PLUGIN})
    assert inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM").is_text_generation_model


def test_the_process_does_not_search_the_working_folder(
    here: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(here)
    (tmp_path / "elsewhere").mkdir()
    for name in ("json.py", "triptych.py", "acme.py"):
        (tmp_path / "elsewhere" / name).write_text("raise RuntimeError('found in the working folder')\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend("")
    assert not inspect_class("acme.model:Tiny", architecture="AcmeForCausalLM").is_text_generation_model


def test_the_cache_folder_is_the_one_named_else_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TRIPTYCH_CACHE", raising=False)
    assert get_cache_folder() == tmp_path / ".cache" / "triptych"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert get_cache_folder() == tmp_path / ".cache" / "triptych"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/of-me")
    assert get_cache_folder() == Path("/var/cache/of-me/triptych")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_CACHE", "mine")
    assert get_cache_folder() == tmp_path / "mine"
    assert os.path.isabs(get_cache_folder())
