"""Chat templates: rendered as transformers renders them, and harmless whatever they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.inputs.small_tokenizers import byte_level, save
from triptych.errors import CheckpointError, InputError
from triptych.inputs.chat import ChatTemplate, Message, load_chat_template

NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
    {% set system = messages[0]['content'] %}{% set messages = messages[1:] %}
{% endif %}
{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles must alternate: ' + message['role']) }}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{ '[INST] ' + ('<<SYS>>' + system + '<</SYS>> ' if loop.first and system is defined else '') }}
        {{- message['content'].strip() + ' [/INST]' }}
    {% else %}
        {% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
    {% endif %}
{% endfor %}"""
PARTS = """{%- for message in messages -%}{{ message.role | upper }}: {% for part in message.content -%}
{%- if part.type == 'image' -%}<image>{%- elif part.text -%}{{ '\\n' + part.text }}{%- endif -%}
{%- endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"""
MACROS = """{%- macro show(value) %}{{ value | tojson(indent=2) }}{% endmacro -%}
{%- set ns = namespace(count=0) -%}{%- set names = dict(a=1) -%}
{% for message in messages %}{% if message.role == 'tool' %}{% continue %}{% endif %}
{%- set ns.count = ns.count + 1 -%}{{ show(message) }}{% if ns.count > 2 %}{% break %}{% endif %}{% endfor %}
{{ strftime_now('%Y') }} {{ names | tojson }} {{ tools is none }} {{ unknown is defined }} {{ '<é>' | tojson }}"""

TALK: list[Message] = [
    {"role": "user", "content": "  Hello <b>, née\n"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "1 & 2?"},
]
SYSTEM: list[Message] = [{"role": "system", "content": "Be brief."}, *TALK]
LOOKING: list[Message] = [
    {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "What?"}]}
]
CASES = [(CHATML, TALK), (CHATML, SYSTEM), (LLAMA2, TALK), (LLAMA2, SYSTEM), (PARTS, LOOKING), (MACROS, TALK)]


@pytest.mark.parametrize(("source", "messages"), CASES)
def test_the_text_is_that_of_transformers(source: str, messages: list[Message]) -> None:
    from transformers import PreTrainedTokenizerFast

    reference: Any = PreTrainedTokenizerFast(tokenizer_object=byte_level(), **NAMED)
    told = {"chat_template": source, "tokenize": False, "add_generation_prompt": True}
    wanted = reference.apply_chat_template(messages, **told)
    assert ChatTemplate(source, origin="here", named=NAMED).render(messages) == wanted


def test_null_is_absent_and_objects_are_named_only() -> None:
    template = ChatTemplate("{{ messages | tojson }}", origin="here", named={})
    found = template.render([{"role": "user", "content": None, "image": object(), "n": 1.5, "ok": True, "t": (1, "a")}])
    assert json.loads(found) == [{"role": "user", "image": "<object>", "n": 1.5, "ok": True, "t": [1, "a"]}]


@pytest.mark.parametrize("source", ["{% for", "{{ x.", "{% generation %}"])
def test_a_broken_template_is_named(source: str) -> None:
    with pytest.raises(CheckpointError, match=r"chat\.jinja: the chat template cannot be read: "):
        ChatTemplate(source, origin="chat.jinja", named={})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ ''.__class__.__mro__ }}", "'__class__' of 'str' object is unsafe"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{{ messages[0].update(role='x') }}", "'update' of 'dict' object is unsafe"),
        ("{{ dict.__init__.__globals__ }}", "unsafe"),
        ("{{ raise_exception.__globals__.os }}", "unsafe"),
        ("{{ namespace(_a=1) }}", "a namespace stores no name with a leading underscore, such as '_a'"),
        ("{% set ns = namespace() %}{% set ns._a = 1 %}", "a namespace stores no name"),
        ("{{ raise_exception('no system turns') }}", "no system turns"),
        ("{{ missing.field }}", "'missing' is undefined"),
        ("{{ 1 // 0 }}", "zero"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
        ("{% include 'other' %}", "no loader"),
    ],
)
def test_what_a_template_may_not_do_is_an_error_of_the_input(source: str, message: str) -> None:
    template = ChatTemplate(source, origin="chat.jinja", named={})
    with pytest.raises(InputError, match=f"chat.jinja: the chat template refuses these messages: .*{message}"):
        template.render(TALK)


def test_output_is_bounded_while_it_comes() -> None:
    endless = "{% for i in range(90000) %}{% for j in range(90000) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}"
    with pytest.raises(InputError, match="writes more than 5,000 characters"):
        ChatTemplate(endless, origin="here", named={}).render(TALK, limit=5000)


@pytest.mark.parametrize("where", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json", "named"])
def test_a_template_is_found_in_each_of_its_places(where: str, tmp_path: Path) -> None:
    folder = save(byte_level(), tmp_path)
    assert load_chat_template(folder, NAMED) is None
    value: Any = CHATML
    if where == "named":
        where, value = (
            "tokenizer_config.json",
            [{"name": "rag", "template": "x"}, {"name": "default", "template": CHATML}],
        )
    file = folder / where
    if where.endswith(".json"):
        before = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        file.write_text(json.dumps({**before, "chat_template": value}), encoding="utf-8")
    else:
        file.write_text(value, encoding="utf-8")
    found = load_chat_template(folder, NAMED)
    assert found is not None
    assert found.render(TALK).endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"name": "rag", "template": "x"}], "has the chat templates rag, and none is named default"),
        (
            [{"name": "rag"}],
            r"chat_template is \[\{'name': 'rag'\}\]; a text, or a list of \{name, template\}, is needed",
        ),
        (3, "chat_template is 3; a text, or a list of"),
    ],
)
def test_a_template_of_another_form_is_refused(value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": value}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_chat_template(tmp_path, NAMED)
