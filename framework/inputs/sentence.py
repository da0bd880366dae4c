"""How a checkpoint for sentence embeddings is to be used, as sentence-transformers keeps it beside the weights.

`modules.json` lists steps: the model, how its rows are pooled, whether the result is brought to length 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from triptych.errors import CheckpointError, InputError, suggest
from triptych.inputs.folder import read_json_if_any, read_text

POOLING = {"cls": "first", "cls_token": "first", "lasttoken": "last", "mean": "mean", "mean_tokens": "mean"}
POOLING |= {"max": "max", "max_tokens": "max"}


class _Listed(BaseModel):
    """One step of `modules.json`."""

    path: str
    type: str


@dataclass(frozen=True)
class SentenceUse:
    """What a folder says: `overrides` of its spec, the longest text in tokens, and what stands before a text."""

    overrides: tuple[str, ...] = ()
    longest: int | None = None
    lower: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    def written(self, text: str, prompt: str | None = None) -> str:
        """The text after the prompt of that name, or the usual one. Raises InputError for a name that is not there."""
        name = self.default_prompt if prompt is None else prompt
        if name is not None and name not in self.prompts:
            raise InputError(f"no prompt {name!r} for this model{suggest(name, self.prompts)}", path="prompt")
        whole = f"{self.prompts[name]}{text}" if name is not None else text
        return whole.lower() if self.lower else whole


def load_sentence_use(folder: Path) -> SentenceUse | None:
    """What `modules.json` and the files it names say; None where there is none.

    Raises CheckpointError, with all of them, for steps that are not served: they would change every number.
    """
    if not (file := folder / "modules.json").is_file():
        return None
    try:
        steps = TypeAdapter(list[_Listed]).validate_json(read_text(file))
    except ValidationError as error:
        raise CheckpointError(f"{file}: is no list of steps: {error.errors()[0]['msg']}") from error
    overrides, wrong = list[str](), list[str]()
    for step in steps:
        match step.type.rpartition(".")[2]:
            case "Transformer" if step.path == "":
                pass
            case "Pooling" if _is_inside(step.path):
                overrides.append(f"pooler.take={_take(folder / step.path / 'config.json')}")
            case "Normalize":
                overrides.append("pooler.normalize=true")
            case _:
                wrong.append(f"{step.type} in {step.path or 'the folder itself'!r}")
    if wrong:
        raise CheckpointError(f"{file}: steps that are not served: {', '.join(wrong)}")
    return _with_texts(folder, overrides)


def _with_texts(folder: Path, overrides: Iterable[str]) -> SentenceUse:
    limits = read_json_if_any(folder / "sentence_bert_config.json")
    texts = read_json_if_any(folder / "config_sentence_transformers.json")
    longest, prompts = limits.get("max_seq_length"), texts.get("prompts") or {}
    return SentenceUse(
        ("pooler=null", *overrides),
        longest if isinstance(longest, int) and longest > 0 else None,
        limits.get("do_lower_case") is True,
        {str(name): str(text) for name, text in prompts.items()} if isinstance(prompts, dict) else {},
        texts.get("default_prompt_name"),
    )


def _take(file: Path) -> str:
    """The one way of pooling that the file asks for. Raises CheckpointError for another than those that are served."""
    given = read_json_if_any(file)
    if given.get("include_prompt") is False:
        raise CheckpointError(f"{file}: leaves the prompt out of what is pooled, which is not served")
    asked = _asked(given)
    if len(asked) != 1 or asked[0] not in POOLING:
        found = " and ".join(asked) or "nothing"
        raise CheckpointError(f"{file}: asks for {found}; one of {', '.join(sorted(set(POOLING)))} is served")
    return POOLING[asked[0]]


def _asked(given: Mapping[str, Any]) -> list[str]:
    if isinstance(mode := given.get("pooling_mode"), str):
        return [mode]
    return [key.removeprefix("pooling_mode_") for key, on in given.items() if key.startswith("pooling_mode_") and on]


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts
