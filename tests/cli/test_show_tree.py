"""`triptych show NAME --tree`: what is printed, for which config, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Capture, ran

BIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 3, "hidden_size": 128}


LLAVA = """\
llava  128 numbers of cache a token, 149,632 parameters
├── towers.image  width 32, 2 layers, 16 rows of 32, 16 tokens for an item of 56 x 56, without layers.2, \
36,544 parameters
│   ├── embed (size 14, class_token)  19,456 parameters
│   │   └── table (side 4, prefix 1)  544 parameters
│   └── 2 x layer (0 to 1)  8,544 parameters each
│       ├── mix: attention (heads 2, kv_heads 2, head_dim 16, bias, no reach.causal)  4,288 parameters
│       └── ffn: mlp (hidden 64, activation quick_gelu)  4,256 parameters
├── projectors.image  32 -> 64 wide, 6,272 parameters
│   └── mlp  6,272 parameters
└── language_model  width 64, 2 layers, vocabulary 256, context 512, 128 numbers of cache a token, 106,816 parameters
    ├── embed (vocab 256)  16,384 parameters
    ├── 2 x layer (0 to 1)  64 numbers of cache a token each, 36,992 parameters each
    │   ├── mix: attention (heads 4, kv_heads 2, head_dim 16)  64 numbers of cache a token, 12,352 parameters
    │   └── ffn: mlp (hidden 128, activation silu)  24,640 parameters
    ├── norm (eps 1e-06)  64 parameters
    └── head  16,384 parameters
"""


def test_the_tree_has_a_line_for_each_component(capsys: Capture) -> None:
    assert ran(capsys, "show", "llava", "--tree") == (0, LLAVA, "")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("llama", "    ├── 2 x layer (0 to 1)  64 numbers of cache a token each, 36,992 parameters each"),
        ("gemma2", "gemma2  256 numbers of cache a token (128 in windows), 115,264 parameters"),
        ("gemma2", "    │   ├── layer 0  128 numbers of cache a token in windows, 49,408 parameters"),
        ("gemma2", "    └── head (tied, softcap 30)  0 parameters"),
        ("bert", "└── pooler (take first)  64 -> 64 wide, 0 parameters"),
        ("vit", "└── tower  width 32, 2 layers, 16 rows of 32 for an item of 56 x 56, 36,416 parameters"),
    ],
)
def test_components_are_told_with_their_numbers(name: str, line: str, capsys: Capture) -> None:
    assert line in ran(capsys, "show", name, "--tree")[1].splitlines()


def test_the_tree_is_that_of_a_config_where_one_is_given(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(BIG))
    status, out, err = ran(capsys, "show", "llama", "--config", str(file))
    assert (status, err) == (0, "")
    assert "3 x layer (0 to 2)" in out
    assert ran(capsys, "show", "llama", "--tree", "--config", str(tmp_path))[1] == out, "the folder of a checkpoint"
    file.write_text(json.dumps({**BIG, "architectures": ["LlamaForSequenceClassification"]}))
    assert "└── pooler (" in ran(capsys, "show", "llama", "--config", str(file))[1]


def test_overrides_change_the_tree(capsys: Capture) -> None:
    out = ran(capsys, "show", "--tree", "llama", "parts.attention.reach.window=64", "sample.num_hidden_layers=5")[1]
    assert out.startswith("llama  320 numbers of cache a token in windows, ")
    assert "5 x layer (0 to 4)  64 numbers of cache a token each in windows, " in out


def test_json_holds_the_same_tree(capsys: Capture) -> None:
    found: dict[str, Any] = json.loads(ran(capsys, "show", "gemma2", "--tree", "--json")[1])
    assert (found["name"], found["kind"], found["parameters"]) == ("gemma2", "model", 115_264)
    assert found["facts"] == {"cache": 256, "cache_in_windows": 128}
    (text,) = found["parts"]
    assert text["facts"] == {
        "width": 64,
        "layers": 2,
        "vocabulary": 256,
        "context": 512,
        "cache": 256,
        "cache_in_windows": 128,
    }
    embed, layers, norm, head = text["parts"]
    assert [layer["which"] for layer in layers["parts"]] == [[0], [1]]
    assert layers["parts"][0]["parts"][0]["options"]["reach.window"] == 16
    assert (embed["options"]["vocab"], norm["kind"], head["options"]["tied"]) == (256, "norm", True)


def test_a_terminal_that_knows_ascii_alone_is_given_that_alone() -> None:
    words = [sys.executable, "-X", "utf8=0", "-m", "triptych.cli", "show", "llava", "--tree"]
    done = subprocess.run(words, capture_output=True, check=True, env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    lines = done.stdout.decode("ascii").splitlines()
    assert len(lines) == len(LLAVA.splitlines())
    assert lines[2].split("embed")[0] == "|   +-- "


def test_what_is_no_text_does_not_reach_the_terminal(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "\x1b[31m.yaml").write_text("schema: 1\nbase: llama\n")
    out = ran(capsys, "show", str(tmp_path / "\x1b[31m.yaml"), "--tree")[1]
    assert out.startswith("?[31m  128 numbers of cache")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lama", "--tree"], "unknown spec 'lama'; did you mean 'llama'?\n"),
        (["llama", "mistral", "--tree"], "one spec is drawn at a time, not llama and mistral too\n"),
        (["llama", "--tree", "sample=null"], "llama has no `sample` config to build a model of\n"),
        (["llama", "--config", "nowhere.json"], "nowhere.json: No such file or directory\n"),
        (["llama", "--config", "empty"], "empty: no config: a folder has a config.json or a params.json\n"),
        (["llama", "--config", "list.json"], "list.json: a JSON mapping is wanted, not a list\n"),
        (["llama", "--config", "half.json"], "half.json:1:"),
        (["llama", "--config", "strange.json"], "clip_qkv"),
        (["llama", "--tree", "parts.norm.epz=1"], "unknown key 'epz'"),
        (["llama", "--schemas", "--config", "list.json"], "--config: for the tree of a model; "),
        (["llama", "--capabilities", "--config", "x", "--picture", "y"], "--config and --picture: for the tree of a "),
        (["llama", "--tree", "--picture", "a.gif"], "a.gif: no picture is drawn as '.gif'; known: .md, .png, .svg\n"),
        (["lama", "--picture", "a.sgv"], "a.sgv: no picture is drawn as '.sgv'; did you mean '.svg'?\n"),
        (["llama", "--picture", "a"], "a: no picture is drawn without an ending that names its kind; known: .md, "),
        (["llama", "--picture", ""], "no picture is drawn without an ending"),
        (
            ["llama", "--picture", "nowhere/a.svg"],
            "nowhere/a.svg: the picture cannot be written here: No such file or ",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list[str], message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("list.json").write_text("[]")
    Path("half.json").write_text('{"a": ')
    Path("strange.json").write_text(json.dumps({**BIG, "clip_qkv": 8}))
    before = sorted(tmp_path.iterdir())
    status, out, err = ran(capsys, "show", *words)
    assert (status, out) == (1, "")
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_two_ways_to_show_exclude_each_other(capsys: Capture) -> None:
    assert ran(capsys, "show", "llama", "--tree", "--schemas")[0] == 2
