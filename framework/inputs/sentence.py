"""How a checkpoint for sentence embeddings is to be used, as sentence-transformers keeps it beside the weights.

`modules.json` lists steps: the model, how its rows are pooled, linear layers, whether the end is brought to length 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from triptych.errors import CheckpointError, InputError, Problem, suggest
from triptych.inputs.dense import Dense, load_dense
from triptych.inputs.folder import read_json_if_any, read_text
from triptych.inputs.token_use import TOKENS, token_problems
from triptych.weights.stored import Stored

POOLING = {"cls": "first", "cls_token": "first", "lasttoken": "last", "mean": "mean", "mean_tokens": "mean"}
POOLING |= {"max": "max", "max_tokens": "max"}
STEPS = ("Transformer", "Pooling", "Dense", "Normalize")  # in this order: some of the third, the last perhaps
TOKEN_STEPS = ("Transformer", "Dense", "MultiVectorMask", "Normalize")  # and of a folder for late interaction
PROJECTOR = "pooler.projector.{i}"  # our path of a linear layer, and what its tensors are called beside the model's


class _Listed(BaseModel):
    """One step of `modules.json`."""

    path: str
    type: str

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def is_served(self) -> bool:
        match self.kind:
            case "Transformer":
                return self.path == ""
            case "MultiVectorMask":
                return _is_inside(self.path)
            case "Dense":  # other libraries have layers of that name
                return self.type.startswith("sentence_transformers.") and _is_inside(self.path)
            case _:
                return self.kind == "Normalize" or (self.kind == "Pooling" and _is_inside(self.path))


@dataclass(frozen=True)
class SentenceUse:
    """What a folder says: of the pooler, in a spec's words; the longest text in tokens; what stands before a text.

    `tensors` are those of the pooler that stand in files of their own, by our paths. `activation` is what a cross
    encoder makes of its numbers, by the name of torch's class.
    """

    pooler: Mapping[str, object] | None = None
    tensors: Mapping[str, Stored] = field(default_factory=dict)
    longest: int | None = None
    lower: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    activation: str | None = None

    @property
    def conversion(self) -> Literal["embed", "token_embed"] | None:
        """What the folder is for, where it says so."""
        if self.pooler is None:
            return None
        return "token_embed" if self.pooler.get("use") == "token" else "embed"

    @property
    def overrides(self) -> tuple[str, ...]:
        """What it changes of a spec, whose own pooler it takes the place of."""
        if self.pooler is None:
            return ()
        said = [f"pooler.{key}={json.dumps(value)}" for key, value in self.pooler.items()]
        rows = [f"weights={json.dumps({PROJECTOR: PROJECTOR})}"] if self.tensors else []
        return ("pooler=null", *said, *rows)

    def written(self, text: str, prompt: str | None = None) -> str:
        """The text after the prompt of that name, or the usual one. Raises InputError for a name that is not there."""
        name = self.default_prompt if prompt is None else prompt
        if name is not None and name not in self.prompts:
            raise InputError(f"no prompt {name!r} for this model{suggest(name, self.prompts)}", path="prompt")
        whole = f"{self.prompts[name]}{text}" if name is not None else text
        return whole.lower() if self.lower else whole


def load_sentence_use(folder: Path) -> SentenceUse | None:
    """What `modules.json` and the files it names say; None where there is none.

    The model alone, as folders of cross encoders list it, says nothing of a pooler.
    Raises CheckpointError, with all of them, for steps that are not served: they would change every number.
    """
    if not (file := folder / "modules.json").is_file():
        return None
    try:
        steps = TypeAdapter(list[_Listed]).validate_json(read_text(file))
    except ValidationError as error:
        raise CheckpointError(f"{file}: is no list of steps: {error.errors()[0]['msg']}") from error
    _check_steps(file, steps)
    pooling, dense = _read(folder, steps)
    pooler = {**pooling, "projector": [layer.step for layer in dense]} if dense else pooling
    if steps[-1].kind == "Normalize":
        pooler["normalize"] = True
    return replace(_of_texts(folder), pooler=pooler or None, tensors=dict(_named(dense)))


def _check_steps(file: Path, steps: Sequence[_Listed]) -> None:
    if wrong := [step for step in steps if not step.is_served]:
        named = ", ".join(f"{step.type} in {step.path or 'the folder itself'!r}" for step in wrong)
        raise CheckpointError(f"{file}: steps that are not served: {named}")
    kinds = [step.kind for step in steps]
    if kinds not in ([STEPS[0]], _ordered(STEPS, kinds), _ordered(TOKEN_STEPS, kinds)):
        served = f"{', '.join(STEPS)}, or {', '.join(TOKEN_STEPS)}"
        raise CheckpointError(f"{file}: {', '.join(kinds) or 'no step'}; what is served is {served}")


def _ordered(steps: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The kinds as these steps have them: the first ones always, of linear layers any number, the others perhaps."""
    always = steps[: steps.index("Dense")]
    after = [kind for kind in steps if kind not in (*always, "Dense") and kind in kinds]
    return [*always, *["Dense"] * kinds.count("Dense"), *after]


def _read(folder: Path, steps: Sequence[_Listed]) -> tuple[dict[str, object], list[Dense]]:
    """How rows are pooled, and the layers after that. Raises CheckpointError with all that is wrong in their files."""
    pooling, dense, wrong = dict[str, object](), list[Dense](), list[Problem]()
    paths = {step.kind: step.path for step in steps}
    of_tokens = len(steps) > 1 and "Pooling" not in paths
    if of_tokens:
        pooling["use"] = "token"
        wrong += token_problems(folder, mask=paths.get("MultiVectorMask"), normalize=paths.get("Normalize"))
    for step in steps:
        try:
            if step.kind == "Pooling":
                pooling["take"] = _take(folder / step.path / "config.json")
            elif step.kind == "Dense":
                dense.append(load_dense(folder / step.path, of=TOKENS if of_tokens else "sentence_embedding"))
        except CheckpointError as error:
            wrong += error.problems
    for number, (one, next_) in enumerate(pairwise(dense)):
        if one.width_out != next_.width_in:
            widths = f"gives {one.width_out} numbers, and the next takes {next_.width_in}"
            wrong.append(Problem(f"{folder / 'modules.json'}: Dense number {number} {widths}"))
    if wrong:
        raise CheckpointError(wrong)
    return pooling, dense


def _named(dense: Sequence[Dense]) -> Iterator[tuple[str, Stored]]:
    for i, layer in enumerate(dense):
        for name, tensor in layer.tensors.items():
            yield f"{PROJECTOR.format(i=i)}.{name.removeprefix('linear.')}", tensor


def _of_texts(folder: Path) -> SentenceUse:
    """What the files beside say of texts."""
    limits = read_json_if_any(folder / "sentence_bert_config.json")
    texts = read_json_if_any(folder / "config_sentence_transformers.json")
    longest, prompts = limits.get("max_seq_length"), texts.get("prompts") or {}
    return SentenceUse(
        longest=longest if isinstance(longest, int) and longest > 0 else None,
        lower=limits.get("do_lower_case") is True,
        prompts={str(name): str(text) for name, text in prompts.items()} if isinstance(prompts, dict) else {},
        default_prompt=texts.get("default_prompt_name"),
        activation=texts.get("activation_fn"),
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
