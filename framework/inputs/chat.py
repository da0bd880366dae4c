"""Chat templates: messages -> the text that a checkpoint was tuned on.

A template comes from a stranger, so it runs in Jinja's immutable sandbox, sees plain data only, and its output is
bounded while it streams. Filters and globals are those that transformers gives (`utils/chat_template_utils.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from triptych.errors import CheckpointError, InputError
from triptych.inputs.folder import read_json_if_any, read_text

MAX_CHARACTERS = 4_000_000

Message = Mapping[str, Any]  # {"role": ..., "content": text or parts}, and whatever else the template reads


class ChatTemplate:
    """One template, compiled once. `origin` is the file it stands in, `named` the special tokens that it may write."""

    def __init__(self, source: str, *, origin: str, named: Mapping[str, str]) -> None:
        self.origin = origin
        self.named = dict(named)
        self._source = source
        try:
            self._template = _environment().from_string(source)
        except (TemplateError, RecursionError) as error:
            raise CheckpointError(f"{origin}: the chat template cannot be read: {error}") from error

    def speaks_of(self, *roles: str) -> bool:
        """Whether each of these words stands in the template itself, in quotes."""
        return all(f"'{role}'" in self._source or f'"{role}"' in self._source for role in roles)

    def render(self, messages: Sequence[Message], *, limit: int = MAX_CHARACTERS) -> str:
        """The text of the chat up to where the answer starts.

        Raises InputError for what the template refuses and for more than `limit` characters of output.
        """
        chat = [{key: _plain(value) for key, value in message.items() if value is not None} for message in messages]
        values = {**self.named, "messages": chat, "tools": None, "documents": None, "add_generation_prompt": True}
        try:
            return _bounded(self._template.generate(**values), limit, self.origin)
        except InputError:
            raise
        except Exception as error:  # a template can fail in any way that Python can
            raise InputError(f"{self.origin}: the chat template refuses these messages: {error}") from error


def load_chat_template(folder: Path, named: Mapping[str, str]) -> ChatTemplate | None:
    """The template of a checkpoint folder: chat_template.jinja, chat_template.json, else that of tokenizer_config.json.

    None when there is none. Raises CheckpointError when it cannot be read, or several are named and none `default`.
    """
    if (file := folder / "chat_template.jinja").is_file():
        return ChatTemplate(read_text(file), origin=str(file), named=named)
    for file in (folder / "chat_template.json", folder / "tokenizer_config.json"):
        if (source := _source(read_json_if_any(file), file)) is not None:
            return ChatTemplate(source, origin=str(file), named=named)
    return None


def _source(config: Mapping[str, Any], file: Path) -> str | None:
    """The template in a JSON file: a text, or the one named `default` of several."""
    found = config.get("chat_template")
    if isinstance(found, list) and all(
        isinstance(entry, dict) and {"name", "template"} <= entry.keys() for entry in found
    ):
        found = {entry["name"]: entry["template"] for entry in found}
    if isinstance(found, dict):
        if "default" not in found:
            raise CheckpointError(f"{file}: has the chat templates {', '.join(found)}, and none is named default")
        found = found["default"]
    if found is not None and not isinstance(found, str):
        needed = "a text, or a list of {name, template}, is needed"
        raise CheckpointError(f"{file}: chat_template is {str(found)[:80]}; {needed}")
    return found


def _bounded(pieces: Iterable[str], limit: int, origin: str) -> str:
    out, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > limit:
            raise InputError(f"{origin}: the chat template writes more than {limit:,} characters for these messages")
        out.append(piece)
    return "".join(out)


def _plain(value: object) -> object:
    """Plain data for the sandbox: an object such as an image has methods that it does not know to be dangerous."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str | int | float):  # of a subclass only the plain value, without its methods
        return json.loads(json.dumps(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else f"<{type(value).__name__}>"


class _Generation(Extension):
    """`{% generation %}` marks what the assistant wrote, for training; here its body is rendered and no more."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict(...)` without the class, from which a template could reach the interpreter."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace(...)` that stores no name with a leading underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be one of the names stored
        Namespace.__init__(args[0], _checked(dict(*args[1:], **kwargs)))

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _checked({name: value})[name])


def _checked(names: dict[str, Any]) -> dict[str, Any]:
    for name in names:
        if name.startswith("_"):
            raise SecurityError(f"a namespace stores no name with a leading underscore, such as {name!r}")
    return names


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals |= {"raise_exception": _refuse, "strftime_now": _now, "dict": _Dict(), "namespace": _Namespace}
    return made


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:  # Jinja's own escapes HTML
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
