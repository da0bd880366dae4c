"""A checkpoint folder: whole safetensors files that lie in it, and JSON; all else is refused before a byte is used."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from triptych.errors import CheckpointError
from triptych.weights import Checkpoint

INDEX = "model.safetensors.index.json"


def write(folder: Path, *names: str, file: str = "model.safetensors") -> dict[str, Tensor]:
    """Tensors [2, 3] under the given names, of other values each."""
    tensors = {name: torch.arange(6.0).view(2, 3) + 10 * number for number, name in enumerate(names)}
    save_file(tensors, folder / file)
    return tensors


def index(folder: Path, files: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))


def read(folder: Path) -> dict[str, Tensor]:
    return {name: stored.read() for name, stored in Checkpoint(folder).tensors.items()}


def test_one_file_is_read_by_name_or_as_the_only_one(tmp_path: Path) -> None:
    for file in ("model.safetensors", "other.safetensors"):
        folder = tmp_path / file
        folder.mkdir()
        wanted = write(folder, "a", "b", file=file)
        found = read(folder)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_shards_are_read_by_the_index(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a", file="1.safetensors"), write(tmp_path, "b", "c", file="2.safetensors")
    index(tmp_path, {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"})
    write(tmp_path, "not in the index", file="3.safetensors")
    found = read(tmp_path)
    assert found.keys() == {"a", "b", "c"}
    assert all(torch.equal(found[name], value) for name, value in (first | second).items())


def test_of_a_tensor_in_two_shards_the_index_says_which(tmp_path: Path) -> None:
    first, _ = write(tmp_path, "a", "x", file="1.safetensors"), write(tmp_path, "b", "a", file="2.safetensors")
    index(tmp_path, {"a": "1.safetensors", "x": "1.safetensors", "b": "2.safetensors"})
    assert torch.equal(read(tmp_path)["a"], first["a"])


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (torch.float32, (2, 3)),
        (torch.float16, (5,)),
        (torch.bfloat16, (1, 2, 3)),
        (torch.int64, (2,)),
        (torch.bool, (3,)),
        (torch.float64, ()),
        (torch.float32, (0, 4)),
    ],
)
def test_every_dtype_and_shape_is_read_bit_by_bit(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    wanted = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    save_file(
        {"before": torch.ones(7), "x": wanted, "y": torch.ones(3, dtype=torch.int8)}, tmp_path / "model.safetensors"
    )
    stored = Checkpoint(tmp_path).tensors["x"]
    assert (stored.dtype, stored.shape) == (dtype, shape)
    assert torch.equal(stored.read(), wanted)


def torn(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A file of two tensors, changed."""

    def make(folder: Path) -> None:
        write(folder, "a", "b")
        file = folder / "model.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return make


def headed(header: object) -> Callable[[Path], None]:
    text = json.dumps(header).encode()
    return torn(lambda data: struct.pack("<Q", len(text)) + text + data[-48:])


def shards(files: object, *names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            write(folder, "a", file=name)
        index(folder, files)

    return make


def outside(folder: Path) -> None:
    """A shard that is a link out of the folder."""
    (folder.parent / "elsewhere").mkdir()
    write(folder.parent / "elsewhere", "a", file="1.safetensors")
    (folder / "1.safetensors").symlink_to(folder.parent / "elsewhere" / "1.safetensors")
    index(folder, {"a": "1.safetensors"})


def looped(folder: Path) -> None:
    (folder / "1.safetensors").symlink_to("1.safetensors")
    index(folder, {"a": "1.safetensors"})


def pickled(folder: Path) -> None:
    torch.save({"a": torch.ones(1)}, folder / "pytorch_model.bin")


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _: None, r"no safetensors file"),
    "pickles alone": (pickled, r"only pickle files \(pytorch_model\.bin\); .*run its author's code: convert them"),
    "two files, no index": (
        lambda folder: [write(folder, "a", file=f"{n}.safetensors") for n in (1, 2)],
        r"2 safetensors files \(1\.safetensors, 2\.safetensors\) and no index that says which",
    ),
    "cut in its tensors": (torn(lambda data: data[:-1]), r"model\.safetensors: not a whole safetensors file"),
    "longer than it says": (torn(lambda data: data + b"x"), r"not a whole safetensors file"),
    "cut in its header": (torn(lambda data: data[:20]), r"not a whole safetensors file"),
    "empty": (torn(lambda _: b""), r"not a whole safetensors file"),
    "a header without end": (torn(lambda data: b"\xff" * 8 + data[8:]), r"not a whole safetensors file"),
    "no JSON": (torn(lambda data: data[:8] + b"x" * (len(data) - 8)), r"not a whole safetensors file"),
    "tensors that overlap": (
        headed({n: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} for n in "ab"}),
        r"not a whole safetensors file",
    ),
    "a tensor past the end": (
        headed({"a": {"dtype": "F32", "shape": [2, 30], "data_offsets": [0, 240]}}),
        r"not a whole safetensors file",
    ),
    "an unknown dtype": (
        headed({"a": {"dtype": "F8_E4M3", "shape": [48], "data_offsets": [0, 48]}}),
        r"tensors of dtype F8_E4M3, which no spec reads; known: F64, F32",
    ),
    "an index of nothing": (lambda folder: (folder / INDEX).write_text("{}"), r"no `weight_map`"),
    "an index of numbers": (shards({"a": 1}), r"no `weight_map` of tensor names to file names"),
    "an index that is no JSON": (
        lambda folder: (folder / INDEX).write_text("{\n  oops"),
        r"index\.json:2:3: Expecting",
    ),
    "a missing shard": (
        shards({"a": "1.safetensors", "b": "2.safetensors"}, "1.safetensors"),
        r"'2\.safetensors' is not",
    ),
    "a promise in vain": (
        shards({"b": "1.safetensors"}, "1.safetensors"),
        r"index\.json: 'b' is not in 1\.safetensors",
    ),
    "a file above": (shards({"a": "../1.safetensors"}), r"'\.\./1\.safetensors' is not a plain safetensors file name"),
    "a file anywhere": (shards({"a": "/etc/1.safetensors"}), r"'/etc/1\.safetensors' is not a plain"),
    "a file below": (shards({"a": "sub/1.safetensors"}), r"'sub/1\.safetensors' is not a plain"),
    "another system's path": (shards({"a": "..\\1.safetensors"}), r"is not a plain safetensors file name"),
    "a pickle as a shard": (shards({"a": "1.bin"}), r"'1\.bin' is not a plain safetensors file name"),
    "a link that leads out": (outside, r"'1\.safetensors' is not a plain safetensors file name of this folder"),
    "a link to itself": (looped, r"'1\.safetensors' is not there"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    make(folder)
    with pytest.raises(CheckpointError, match=message):
        _ = Checkpoint(folder).tensors


def test_all_bad_names_of_an_index_are_told_at_once(tmp_path: Path) -> None:
    index(tmp_path, {f"t{n}": name for n, name in enumerate(["../a.safetensors", "b.bin", "c.safetensors"])})
    with pytest.raises(CheckpointError) as raised:
        _ = Checkpoint(tmp_path).tensors
    assert len(raised.value.problems) == 3


def test_a_link_into_the_hubs_blobs_is_followed(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    write(blobs, "a", file="0123.safetensors")
    (blobs / "0123.safetensors").rename(blobs / "0123")
    (snapshot / "1.safetensors").symlink_to("../../blobs/0123")
    index(snapshot, {"a": "1.safetensors"})
    assert read(snapshot).keys() == {"a"}


def test_pickles_beside_safetensors_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    write(tmp_path, "a")
    assert read(tmp_path).keys() == {"a"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r": no config: a folder has a config\.json or a params\.json"),
        (b'{\n  "a": 1,\n}', r"config\.json:3:1: "),
        (b"{'a': 1}", r"config\.json:1:2: Expecting property name"),
        (b'{"a": 1} x', r"config\.json:1:10: Extra data"),
        (b"", r"config\.json:1:1: Expecting value"),
        (b"[1]", r"config\.json: a JSON mapping is wanted, not a list"),
        (b'"\xff"', r"config\.json: 'utf-8' codec can't decode byte"),
        (b"[" * 100_000, r"config\.json: .*recursion"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"config\.json: Exceeds the limit"),
    ],
)
def test_a_config_that_is_no_json_mapping_is_told_with_its_place(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        _ = Checkpoint(tmp_path).config


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nowhere", "file"):
        (tmp_path / "file").touch()
        with pytest.raises(CheckpointError, match=f"{name}: no such folder"):
            Checkpoint(tmp_path / name)


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    stored = Checkpoint(tmp_path).tensors["b"]
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="ends before its tensors do; it changed while it was read"):
        stored.read()
