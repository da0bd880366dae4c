"""The config of a checkpoint folder, under the usual name or one that a family's makers write."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.errors import CheckpointError, RegistrationError
from triptych.spec import config_file
from triptych.spec.catalog import Listed, catalog, find_family
from triptych.spec.config_file import read_config
from triptych.spec.merge import load_tree

TEXT, SEES = ("dim", "n_layers", "hidden_dim"), ("dim", "n_layers", "hidden_dim", "vision_encoder")


def write(folder: Path, name: str, *keys: str) -> None:
    (folder / name).write_text("{" + ", ".join(f'"{key}": 1' for key in keys) + "}", encoding="utf-8")


@pytest.mark.parametrize(("keys", "family"), [(TEXT, "mistral_native"), (SEES, "pixtral")])
def test_the_family_that_has_most_keys_of_such_a_file_is_its_own(
    tmp_path: Path, keys: tuple[str, ...], family: str
) -> None:
    write(tmp_path, "params.json", *keys, "model_type")
    for path in (tmp_path, tmp_path / "params.json"):
        found = read_config(path)
        assert found.items() >= dict.fromkeys(keys, 1).items()
        assert find_family(found) == family


def test_the_usual_name_goes_before(tmp_path: Path) -> None:
    write(tmp_path, "params.json", *TEXT)
    write(tmp_path, "config.json", "mine")
    assert read_config(tmp_path) == {"mine": 1}


def test_no_spec_is_read_for_the_usual_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(config_file, "catalog")
    write(tmp_path, "config.json", "mine")
    assert read_config(tmp_path) == read_config(tmp_path / "config.json") == {"mine": 1}


def test_a_child_does_not_inherit_what_its_base_answers_for(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("schema: 1\nbase: mistral_native\nmodel_types: [mine]\n", encoding="utf-8")
    assert "config_file" not in load_tree(tmp_path / "mine.yaml")


def test_a_folder_without_a_config_is_told_which_names_it_may_have(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r": no config: a folder has a config\.json or a params\.json$"):
        read_config(tmp_path)


def test_a_file_that_two_specs_claim_by_as_many_keys_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = catalog()["mistral_native"]
    other = Listed("other", own.kind, (), ("other",), own.path, ("params.json", ("dim", "hidden_dim", "n_heads")))
    monkeypatch.setattr(config_file, "catalog", lambda: {"mistral_native": own, "other": other})
    write(tmp_path, "params.json", *TEXT, "n_heads")
    with pytest.raises(RegistrationError, match=r"params\.json: claimed by mistral_native and by other"):
        read_config(tmp_path)
