"""Families and parts of other packages: installed beside triptych, found by their entry points, trouble kept apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import pytest


@dataclass(frozen=True)
class Site:
    """A folder of installed packages, which a fresh process sees beside the real ones."""

    folder: Path

    def install(self, name: str, entries: str, files: Mapping[str, str]) -> None:
        """A distribution with the entry points of an `entry_points.txt`, and its files by their paths."""
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        info = {"METADATA": metadata, "entry_points.txt": entries}
        self.write({f"{name}-1.0.dist-info/{file}": text for file, text in info.items()})
        self.write({f"{name}/__init__.py": "", **files})

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(dedent(text), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A fresh Python with the packages on its path."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONWARNINGS": "error"}
        command, where = [sys.executable, *arguments], self.folder
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=where, timeout=120, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def python(self, code: str) -> str:
        """What a program prints, and at last what it raises of triptych's own."""
        begin, end = (
            "from triptych.errors import TriptychError\ntry:\n",
            "except TriptychError as error:\n    print(error)",
        )
        done = self.run("-c", f"{begin}{indent(dedent(code).strip(), '    ')}\n{end}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def triptych(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "triptych.cli", *arguments)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


ACME_ENTRIES = """\
[triptych.specs]
acme = acme.models
[triptych.parts]
mixer.averaging = acme.specs_of_parts:AveragingSpec
activation.twice = acme.functions:twice
"""
ACME = {
    "acme/models/acme.yaml": """\
        schema: 1
        base: llama
        architectures: [AcmeForCausalLM]
        model_types: [acme]
        parts:
          attention: {use: averaging, reach: =config.reach}
          mlp: {activation: twice}
          rope: null
        weights:
          layers.{i}: {mix.attention: self_mix, mix.attention.qkv: null, mix.attention.out: null}
        sample: {reach: 3, num_attention_heads: null, num_key_value_heads: null}
        inert: [max_position_embeddings]
        """,
    "acme/functions.py": "def twice(x):\n    return x * 2\n",
    "acme/specs_of_parts.py": """
        from typing import ClassVar

        from pydantic import PositiveInt
        from triptych.spec.base import PartSpec


        class AveragingSpec(PartSpec):
            builds: ClassVar[str] = "acme.mixing:Averaging"
            reach: PositiveInt
        """,
    "acme/mixing.py": """
        from torch import nn

        from acme.specs_of_parts import AveragingSpec
        from triptych.parts.parameters import Linear


        class Averaging(nn.Module):
            Spec = AveragingSpec
            cache_need = None

            def __init__(self, spec, *, width, key):
                super().__init__()
                self.key, self.reach = key, spec.reach
                self.out = Linear(width, width, bias=False)

            def forward(self, x, step):
                return self.out(x)
        """,
}
BROKEN_PARTS = """\
[triptych.parts]
mixer.fails = broken.fails:Spec
norm.lost = broken.lost:Spec
norm.odd = broken.odd:Spec
norm.mute = broken.mute:Spec
"""
NORM = "from triptych.parts.norms_spec import RmsNormSpec\n\n\nclass Spec(RmsNormSpec):\n    builds = "
BROKEN = {
    "broken/__init__.py": "THING = 5\n",
    "broken/fails.py": "from acme.specs_of_parts import AveragingSpec\n\n\n"
    "class Spec(AveragingSpec):\n    builds = 'broken.failing:Fails'\n",
    "broken/failing.py": "from acme.mixing import Averaging\n\n\n"
    "class Fails(Averaging):\n    def forward(self, x, step):\n        return self.out(x, step)\n",
    "broken/lost.py": f"{NORM}'broken.nowhere:Norm'\n",
    "broken/odd.py": f"{NORM}'broken:THING'\n",
    "broken/mute.py": f"{NORM}'broken.muting:Norm'\n",
    "broken/muting.py": """
        from torch import nn


        class Norm(nn.Module):
            def __init__(self, spec, *, width):
                super().__init__()
        """,
    "fails.yaml": "schema: 1\nbase: acme\nparts: {attention: {use: fails, reach: =config.reach}}\n",
    "lost.yaml": "schema: 1\nbase: llama\nparts: {norm: {use: lost, eps: 1}}\n",
    "mute.yaml": "schema: 1\nbase: llama\nparts: {norm: {use: mute, eps: 1}}\n",
    "odd.yaml": "schema: 1\nbase: llama\nparts: {norm: {use: odd, eps: 1}}\n",
}


def test_a_family_with_a_part_of_its_own_is_checked_and_what_is_broken_in_parts_is_a_finding(site: Site) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    site.install("broken", BROKEN_PARTS, BROKEN)
    found = site.triptych("check", "acme", "fails.yaml", "lost.yaml", "odd.yaml", "mute.yaml")
    assert found.returncode == 1
    for message in (
        "acme: spec: passed\nacme: capabilities: passed\nacme: shape: passed",
        "fails.yaml: shape: failed\n  running the model without values: TypeError: ",
        "lost.yaml: shape: failed\n  broken.nowhere:Norm cannot be imported: ModuleNotFoundError",
        "odd.yaml: shape: failed\n  broken:THING is no class: 5",
        f"mute.yaml: shape: failed\n  broken 1.0 (broken.muting:Norm, {site.folder}/broken/muting.py) has no method "
        "`forward`; a part is called with rows",
    ):
        assert message in found.stdout, found.stdout


def test_a_config_chooses_the_family_and_its_mistakes_are_told_in_its_file(site: Site) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    found = site.python("""
        from triptych.spec.plan import plan
        from triptych.spec.catalog import find_family
        print(find_family({"architectures": ["AcmeForCausalLM"]}))
        plan("acme", {"reach": -1, "hidden_size": 8})
        """)
    place = f"{site.folder}/acme/models/acme.yaml:6:38"
    assert (
        found == f"acme\n{place}: language_model.layers.0.mix.mixer.reach: input should be greater than 0; found -1\n"
    )


def test_listing_imports_no_plugin_and_no_torch(site: Site) -> None:
    site.install("acme", ACME_ENTRIES, {**ACME, "acme/__init__.py": "raise RuntimeError('nobody asked for me')"})
    found = site.python("""
        import sys
        from triptych.cli import main
        assert main(["list"]) == 0
        print("loaded:", sorted({"torch", "acme", "acme.mixing", "triptych.parts.attention"} & sys.modules.keys()))
        """)
    assert "AcmeForCausalLM" in found
    assert "averaging" in found
    assert found.endswith("loaded: []\n")


def test_listing_says_which_distribution_offers_each_name(site: Site) -> None:
    entries = f"{ACME_ENTRIES}[triptych.conf]\nacme = acme.conf\n[triptych.processors]\ntwin = acme.nowhere:Twin\n"
    site.install("acme", entries, ACME)
    site.install("beta", "[triptych.processors]\ntwin = beta.nowhere:Twin\n", {})
    found = json.loads(site.triptych("list", "--json").stdout)
    own = {row["name"]: row["distributions"] for kind in ("models", "mixers", "norms") for row in found[kind]}
    assert {own.pop(name)[0] for name in ("acme", "averaging")} == {"acme 1.0"}
    assert {origin.partition(" ")[0] for origins in own.values() for origin in origins} == {"triptych"}
    assert found["conf"][0] == {"name": "acme", "distributions": ["acme 1.0"]}  # beside triptych's own
    assert {"name": "twin", "distributions": ["acme 1.0", "beta 1.0"]} in found["processors"]
    lines = site.triptych("list").stdout.splitlines()
    assert f"  {'acme':<20} AcmeForCausalLM (acme 1.0)" in lines
    assert f"  {'averaging':<20} (acme 1.0)" in lines
    assert f"  {'rms_norm':<20}".rstrip() in lines


def test_validating_loads_the_types_of_parts_and_no_torch(site: Site) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    found = site.python("""
        import sys
        from triptych.cli import main
        assert main(["validate", "acme/models"]) == 0
        print("loaded:", sorted({"torch", "acme.specs_of_parts", "acme.mixing"} & sys.modules.keys()))
        """)
    assert found == "loaded: ['acme.specs_of_parts']\n"


def test_one_name_from_two_packages_is_an_error_for_those_who_ask_for_it(site: Site) -> None:
    for name in ("one", "two"):
        entries = f"[triptych.parts]\nnorm.twin = {name}.norms:Norm\n[triptych.specs]\nmodels = {name}.models\n"
        site.install(name, entries, {f"{name}/models/twin.yaml": "schema: 1"})
    found = site.python("""
        from triptych.registry import get_part, get_spec_file, part_names, part_troubles, spec_files, spec_troubles
        assert "twin" in part_names("norm") and "twin" not in spec_files() and "llama" in spec_files()
        print(get_part("norm", "rms_norm").name, *part_troubles(), *spec_troubles(), sep="|")
        try:
            get_spec_file("twin")
        except TriptychError as error:
            print(error)
        get_part("norm", "twin")
        """)
    part = "norm 'twin' is offered by one 1.0 (one.norms:Norm) and by two 1.0 (two.norms:Norm); uninstall one"
    spec = "spec 'twin' is offered by one 1.0 and by two 1.0; uninstall one"
    assert found.splitlines() == [f"rms_norm|{part}|{spec}", spec, part]
    for words, told in ((["norms"], [part]), (["models"], [spec]), (["mixers"], []), ([], [part, spec])):
        listed = site.triptych("list", *words)
        assert (listed.returncode, listed.stderr.splitlines()) == (0, told)


TORN = {  # how a part is broken -> (its entry, its module, what is said)
    "lacks": ("broken.lacks:Spec", "import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
    "raises": ("broken.raises:Spec", "1 / 0", "ZeroDivisionError: division by zero"),
    "torn": ("broken.torn:Spec", "def f(:", "SyntaxError: invalid syntax"),
    "leaves": ("broken.leaves:Spec", "raise SystemExit(3)", "SystemExit: 3"),
    "named": ("broken.named:Spek", "", "AttributeError: module 'broken.named' has no attribute 'Spek'"),
    "gone": ("broken.nowhere:Spec", "", "ModuleNotFoundError: No module named 'broken.nowhere'"),
    "plain": (
        "broken.plain:Spec",
        "class Spec: pass",
        "a PartSpec class is wanted, or a class with one inside as `Spec`",
    ),
    "number": (
        "broken.number:Spec",
        "Spec = 5",
        "a PartSpec class is wanted, or a class with one inside",
    ),
}


def test_a_broken_part_troubles_only_the_file_that_asks_for_it(site: Site) -> None:
    entries = "".join(f"norm.{name} = {entry}\n" for name, (entry, _, _) in TORN.items())
    site.install("broken", f"[triptych.parts]\n{entries}", {f"broken/{n}.py": text for n, (_, text, _) in TORN.items()})
    specs = {name: f"schema: 1\nbase: llama\nparts: {{norm: {{use: {name}, eps: 1}}}}\nnothing: 1\n" for name in TORN}
    site.write({f"{name}.yaml": text for name, text in specs.items()})
    site.write({"well.yaml": "schema: 1\nbase: llama\n"})
    found = site.triptych("validate", *(f"{name}.yaml" for name in TORN), "well.yaml")
    assert (found.returncode, found.stderr) == (1, "9 specs, 8 with mistakes\n")
    lines = iter(found.stdout.splitlines())
    for name, (_, _, message) in TORN.items():
        assert (line := next(lines)).startswith(f"{name}.yaml:3:21: parts.norm.use: "), line
        assert "broken" in line
        assert message in line
        assert next(lines).startswith(f"{name}.yaml:4:1: nothing: unknown key")


def test_broken_folders_and_specs_trouble_nobody_else(site: Site) -> None:
    entries = (
        "gone = broken.gone\nlost = nowhere.models\nodd = broken.models\n[triptych.parts]\nnrm.bad = broken:Spec\n"
    )
    models = {
        "torn": "architectures: [Torn\n",
        "odd": "schema: 1\narchitectures: {a: b}\n",
        "orphan": "schema: 1\nbase: nobody\narchitectures: [Orphan]\n",
        "well": "schema: 1\nbase: llama\narchitectures: [Well]\n",
        "rival": "schema: 1\nbase: llama\narchitectures: [GemmaForCausalLM]\n",
    }
    files = {f"broken/models/{name}.yaml": text for name, text in models.items()}
    site.install("broken", f"[triptych.specs]\n{entries}", files)
    listed = site.triptych("list")
    assert listed.returncode == 0
    assert {"llama", "well"} <= {line.split()[0] for line in listed.stdout.splitlines() if line.strip()}
    for message in (
        "nrm.bad (broken 1.0 (broken:Spec)) is of no kind of part; did you mean 'norm'?",
        "gone (broken.gone, from broken 1.0): there is no such folder of specs",
        "lost (nowhere.models, from broken 1.0): there is no such folder of specs",
        f"spec 'torn' (broken 1.0) cannot be read: {site.folder}/broken/models/torn.yaml:2:1: did not find expected",
        "models/odd.yaml:2:16: architectures: a list of names is wanted, not {'a': 'b'}",
        "models/orphan.yaml:2:7: base: unknown spec 'nobody'",
    ):
        assert message in listed.stderr, listed.stderr
    found = site.python("""
        from triptych.registry import get_spec_file
        from triptych.spec.catalog import find_family
        print(find_family({"architectures": ["Well"]}), find_family({"architectures": ["LlamaForCausalLM"]}))
        for look in (lambda: find_family({"architectures": ["Torn"]}), lambda: get_spec_file("nobody")):
            try:
                look()
            except TriptychError as error:
                print(error)
        find_family({"architectures": ["GemmaForCausalLM"]})
        """)
    first, torn, nobody, rival = found.splitlines()
    assert first == "well llama"
    assert torn.startswith("no spec answers for Torn; ")
    assert "(spec 'torn' (broken 1.0) cannot be read: " in torn
    assert nobody.endswith("(lost (nowhere.models, from broken 1.0): there is no such folder of specs)")
    assert rival == "GemmaForCausalLM: claimed by gemma and by rival"


@pytest.mark.parametrize(("listed", "let_in"), [("", False), ("other", False), ("other, Acme", True), (None, True)])
def test_a_distribution_that_is_not_let_in_offers_neither_parts_nor_specs(
    listed: str | None, let_in: bool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", ACME_ENTRIES, ACME)
    if listed is not None:
        monkeypatch.setenv("TRIPTYCH_PLUGINS", listed)
    found = site.triptych("list")
    assert ("AcmeForCausalLM" in found.stdout, "averaging" in found.stdout) == (let_in, let_in)
    assert "LlamaForCausalLM" in found.stdout
    assert "rms_norm" in found.stdout
