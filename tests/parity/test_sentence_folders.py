"""Folders that sentence-transformers writes, its linear layers among them, give the embeddings that it gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import TOLERANCE, build_oracle, rms_ratio, tiny_config

TEXTS = ["the quick brown fox", "one", "naïve café, one by one, over the lazy dog"]
WIDTH = 64
Layer = tuple[int, int, bool, nn.Module]
LAYERS: dict[str, list[Layer]] = {
    "none": [],
    "tanh": [(WIDTH, 24, True, nn.Tanh())],
    "identity, no bias": [(WIDTH, 96, False, nn.Identity())],
    "several in a row": [(WIDTH, 48, True, nn.GELU()), (48, 48, False, nn.ReLU()), (48, 16, True, nn.Sigmoid())],
    "the last kind": [(WIDTH, WIDTH, True, nn.SiLU())],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with a tokenizer."""
    folder, config = tmp_path_factory.mktemp("bert"), tiny_config("BertModel")
    assert config is not None
    build_oracle({**config, "vocab_size": 400, "max_position_embeddings": 64}, folder, seed=3)
    return save(byte_level(), folder, cls_token="<s>", sep_token="</s>", model_max_length=64)


Write = Callable[..., Any]


@pytest.fixture
def write(base: Path, tmp_path: Path) -> Write:
    """Writes a folder by the library and gives what it read to make it: the oracle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules as st

    def written(pooling: str, layers: Sequence[Layer], *, normalize: bool) -> Any:
        torch.manual_seed(len(layers))
        steps: list[Any] = [st.Transformer(str(base)), st.Pooling(WIDTH, pooling_mode=pooling)]
        steps += [st.Dense(n, m, bias=bias, activation_function=act) for n, m, bias, act in layers]
        oracle = SentenceTransformer(modules=[*steps, *([st.Normalize()] if normalize else [])], device="cpu")
        oracle.save_pretrained(str(tmp_path), create_model_card=False)
        return oracle

    return written


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("normalize", [False, True], ids=["as it is", "normalized"])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_are_those_of_the_library(
    pooling: str, layers: str, normalize: bool, write: Write, tmp_path: Path
) -> None:
    oracle = write(pooling, LAYERS[layers], normalize=normalize)
    model = triptych.load(tmp_path, dtype=torch.float32)
    found, wanted = model.embed(TEXTS), torch.from_numpy(oracle.encode(TEXTS))
    assert found.shape == wanted.shape
    assert rms_ratio(found, wanted) <= TOLERANCE
