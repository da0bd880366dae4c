"""What a folder for sentence embeddings says of its use, and what of it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from triptych.errors import CheckpointError, InputError
from triptych.inputs.sentence import SentenceUse, load_sentence_use

PACKAGE = "sentence_transformers.models."
STEPS = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]


def written(folder: Path, *, steps: list[tuple[str, str]], pooling: Any = None, **files: Any) -> Path:
    listed = [{"idx": n, "name": str(n), "path": path, "type": PACKAGE + kind} for n, (kind, path) in enumerate(steps)]
    (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {}), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_folder_without_modules_says_nothing(tmp_path: Path) -> None:
    assert load_sentence_use(tmp_path) is None


@pytest.mark.parametrize(
    ("pooling", "take"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True, "word_embedding_dimension": 384}, "first"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls"}, "first"),
    ],
)
def test_the_way_of_pooling_becomes_an_override(pooling: dict[str, Any], take: str, tmp_path: Path) -> None:
    found = load_sentence_use(written(tmp_path, steps=STEPS[:2], pooling=pooling))
    assert found is not None
    assert found.overrides == ("pooler=null", f'pooler.take="{take}"')
    assert (found.longest, found.lower, dict(found.prompts), found.default_prompt) == (None, False, {}, None)


def test_length_case_and_prompts_come_from_the_files_beside(tmp_path: Path) -> None:
    found = load_sentence_use(
        written(
            tmp_path,
            steps=STEPS,
            pooling={"pooling_mode_mean_tokens": True},
            sentence_bert_config={"max_seq_length": 128, "do_lower_case": True},
            config_sentence_transformers={"prompts": {"query": "Query: ", "none": ""}, "default_prompt_name": "query"},
        )
    )
    assert found is not None
    assert found.overrides[2] == "pooler.normalize=true"
    assert found.longest == 128
    assert found.written("Ä Text") == "query: ä text"
    assert found.written("Ä Text", "none") == "ä text"
    with pytest.raises(InputError, match=r"no prompt 'qery' for this model; did you mean 'query'\?"):
        found.written("text", "qery")


def test_a_folder_of_the_model_alone_says_nothing_of_a_pooler(tmp_path: Path) -> None:
    found = load_sentence_use(written(tmp_path, steps=STEPS[:1], sentence_bert_config={"max_seq_length": 7}))
    assert found is not None
    assert (found.overrides, found.longest) == ((), 7)


def test_layers_of_that_name_from_another_library_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, steps=STEPS[:2], pooling={"pooling_mode": "mean"})
    steps = json.loads((folder / "modules.json").read_text("utf-8"))
    steps.append({"path": "2_Dense", "type": "pylate.models.Dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(steps), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"not served: pylate\.models\.Dense\.Dense in '2_Dense'"):
        load_sentence_use(folder)


def test_a_use_that_says_nothing_leaves_a_text_as_it_is() -> None:
    assert SentenceUse().written("As It Is") == "As It Is"


@pytest.mark.parametrize(
    ("steps", "pooling", "message"),
    [
        (
            [*STEPS[:2], ("CNN", "2_CNN"), ("LSTM", "3")],
            {"pooling_mode": "mean"},
            "models.CNN in '2_CNN', .*LSTM",
        ),
        (
            [("Transformer", "0_Transformer"), STEPS[1]],
            {"pooling_mode": "mean"},
            "models.Transformer in '0_Transformer'",
        ),
        ([STEPS[0], ("Pooling", "../1_Pooling")], None, "models.Pooling in '../1_Pooling'"),
        ([*STEPS[:2], ("Dense", "../2_Dense")], {"pooling_mode": "mean"}, "models.Dense in '../2_Dense'"),
        ([*STEPS, ("Dense", "3_Dense")], {"pooling_mode": "mean"}, "Transformer, Pooling, Normalize, Dense; what is"),
        ([STEPS[0], STEPS[2], STEPS[1]], {"pooling_mode": "mean"}, "Transformer, Normalize, Pooling; what is served"),
        ([STEPS[1]], {}, "Pooling; what is served is Transformer, Pooling, Dense, Normalize, or Transformer, Dense"),
        ([STEPS[0], STEPS[2]], {}, "2_Normalize/config.json: module_input_name: 'token_embeddings' is wanted; found"),
        ([], {}, "no step; what is served"),
        ([STEPS[0], ("Pooling", "/etc")], None, "models.Pooling in '/etc'"),
        (STEPS, {}, "asks for nothing; one of cls, "),
        (STEPS, {"pooling_mode": "weightedmean"}, "asks for weightedmean; one of cls, "),
        (
            STEPS,
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "asks for cls_token and mean_tokens",
        ),
        (STEPS, {"pooling_mode": "mean", "include_prompt": False}, "leaves the prompt out"),
    ],
)
def test_steps_that_are_not_served_are_named(steps: Any, pooling: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_sentence_use(written(tmp_path, steps=steps, pooling=pooling))


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "not JSON"])
def test_modules_that_are_no_list_of_steps_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"modules.json: is no list of steps: "):
        load_sentence_use(tmp_path)
