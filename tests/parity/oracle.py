"""Tiny reference models under whose weights every tensor matters, saved as checkpoints.

A freshly made model hides mistakes: its norms are ones, its biases zeros, its logits nearly flat. So every tensor is
drawn anew: matrices N(0, 1.5^2 / fan-in), embeddings N(0, 1), vectors and saved buffers first value + 0.3 N(0, 1).
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

TOLERANCE, MATTERS = 1e-5, 1e-3  # RMS ratios in float32: the same, and not the same
LOOSE = 1e-4  # the same too, where experts are chosen or a state sums up a sequence: rounding grows on the way
WORKED_OUT = ("slope_rate", "query_decay", "key_decay", "diagonal_decay")  # of other facts, and saved all the same
TINY = Path(__file__).resolve().parent.parent / "tiny"
INSIDE = {  # classes that are not listed at the top of transformers, and models of our own that nobody else has
    "ArcticReference": "tests.reference.arctic",
    "GrokForCausalLM": "tests.reference.grok",
    "Grok2ForCausalLM": "tests.reference.grok2",
    "AlibiLlamaForCausalLM": "tests.reference.alibi",
    "Ernie4_5_VLMoeForCausalLM": "tests.reference.ernie45_vl_moe_text",
    "Idefics2VisionTransformer": "transformers.models.idefics2.modeling_idefics2",
    "DeciLMForCausalLM": "tests.reference.nemotron_nas",
    "BailingLinearReference": "tests.reference.bailing_moe_linear",
    "MiniMaxText01ForCausalLM": "tests.reference.minimax_text_01",
    "IQuestLoopCoderForCausalLM": "tests.reference.iquest_loopcoder",
    "OuroForCausalLM": "tests.reference.ouro",
    "Plamo2ForCausalLM": "tests.reference.plamo2",
    "SolarForCausalLM": "tests.reference.solar",
    "Step3TextForCausalLM": "tests.reference.step3_text",
    "Step3p5ForCausalLM": "tests.reference.step3p5",
}


@dataclass(frozen=True)
class Named:
    """One config of one family; its weights are drawn by its name."""

    name: str
    family: str
    config: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())


@dataclass(frozen=True)
class Oracle:
    """A reference model, the folder it was saved to, and the config that it wrote there.

    `attention` is which of its own kinds of attention it has.
    """

    model: Any
    folder: Path
    config: dict[str, Any]
    attention: str = "eager"

    @property
    def vocab(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)

    def random_ids(self, length: int, *, seed: int) -> list[int]:
        ids: list[int] = torch.randint(0, self.vocab, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
        return ids

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], **media: Tensor) -> Tensor:
        """The logits `[T, V]` of one sequence, without a cache; `media` as the model's own processor gives them."""
        logits: Tensor = self.model(torch.tensor([list(ids)]), use_cache=False, **media).logits[0]
        return logits

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], count: int, **media: Tensor) -> list[int]:
        """The `count` tokens that follow greedily, whatever they are."""
        prompt = torch.tensor([list(ids)])
        asked = {"max_new_tokens": count, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = self.model.generate(prompt, attention_mask=torch.ones_like(prompt), **asked, **media)
        tokens: list[int] = found[0, prompt.shape[1] :].tolist()
        return tokens

    def rewritten(self, config: Mapping[str, Any]) -> Oracle:
        """The same weights under another config."""
        model = _model(config, self.attention)
        model.load_state_dict(self.model.state_dict())
        return Oracle(model, self.folder, dict(config), self.attention)

    def reread(self) -> tuple[Oracle, set[str]]:
        """The model as its own class reads it from the folder, and the names of what it misses there."""
        with _quiet():
            chosen = {"attn_implementation": self.attention, "dtype": torch.float32, "output_loading_info": True}
            model, told = type(self.model).from_pretrained(self.folder, **chosen)
        return Oracle(model.eval(), self.folder, self.config, self.attention), {*told["missing_keys"]}

    def default_keys(self) -> list[str]:
        """The keys that a writer who leaves out what its class assumes would not have written."""
        with _quiet():
            assumed = type(self.model.config)().to_dict()
        kept = {"architectures", "model_type"}
        return [k for k, v in self.config.items() if k not in kept and k in assumed and assumed[k] == v]

    @torch.inference_mode()
    def inert_tensors(self, ids: Sequence[int], *, below: float, **media: Tensor) -> Iterator[str]:
        """The tensors of the checkpoint that can be zeroed without the logits moving by an RMS ratio of `below`."""
        wanted = self.logits(ids, **media)
        for name, tensor in saved(self.model):
            kept = tensor.clone()
            tensor.zero_()
            if rms_ratio(self.logits(ids, **media), wanted) < below:
                yield name
            tensor.copy_(kept)


def tiny_config(architecture: str) -> dict[str, Any] | None:
    """The tiny config kept for an architecture, if there is one."""
    file = TINY / f"{architecture}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def has_reference(architecture: str) -> bool:
    """Whether an architecture has a class here that it can be held to."""
    return hasattr(transformers, architecture) or architecture in INSIDE


def build_oracle(config: Mapping[str, Any], folder: Path, *, seed: int, attention: str = "eager") -> Oracle:
    """The reference model of a config, weights drawn from `seed`, saved to `folder` by its own `save_pretrained`."""
    with torch.random.fork_rng():  # the first values of a model come out of the global generator
        torch.manual_seed(seed)
        model = _model(config, attention)
    redraw(model, torch.Generator().manual_seed(seed))
    with _quiet():
        model.save_pretrained(folder)
    return Oracle(model, folder, json.loads((folder / "config.json").read_text("utf-8")), attention)


def write_config(oracle: Oracle, config: Mapping[str, Any], folder: Path) -> Path:
    """A folder with the oracle's weights beside another config."""
    shutil.copy(oracle.folder / "model.safetensors", folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@torch.no_grad()
def redraw(model: nn.Module, generator: torch.Generator) -> None:
    """Draw every tensor that a checkpoint would hold anew, as the top of this file says."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    turned = {id(m.weight) for m in model.modules() if isinstance(m, Conv1D)}  # stored input by output
    named = {"gate_up_proj", "down_proj"}
    stacked = {id(p) for m in model.modules() for name, p in m.named_parameters(recurse=False) if name in named}
    for _, tensor in saved(model):
        noise = torch.randn(tensor.shape, generator=generator)
        if id(tensor) in tables:
            tensor.copy_(noise)
        elif tensor.ndim == 0:
            tensor.sub_(0.2 + 0.1 * noise.abs())  # a bound above nought would bound nothing that is below it
        elif tensor.ndim <= 1:
            tensor.add_(0.3 * noise)
        else:
            fan_in = tensor.shape[0] if id(tensor) in turned else tensor[0].numel()
            fan_in = tensor.shape[-1] if id(tensor) in stacked else fan_in
            tensor.copy_(noise * 1.5 / fan_in**0.5)


def rms_ratio(found: Tensor, wanted: Tensor) -> float:
    """RMS of the difference over RMS of what is wanted."""
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def _model(config: Mapping[str, Any], attention: str) -> Any:
    """Eager attention is written out in plain torch, and alone knows softcaps."""
    (name,) = config["architectures"]
    module = import_module(INSIDE[name]) if name in INSIDE else transformers
    named = getattr(module, name)
    with _quiet():
        read = named.config_class(**json.loads(json.dumps(config), object_hook=_number))  # it edits what it is given
        read._attn_implementation = attention
        return named(read).eval()


def _number(found: dict[str, Any]) -> Any:
    """What is written for a number that JSON lacks is that number again."""
    return float(found["__float__"]) if set(found) == {"__float__"} else found


def saved(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each floating tensor of the checkpoint that is a weight, once; tied ones under their first name."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen and not name.endswith(WORKED_OUT):
            seen.add(id(tensor))
            yield name, tensor


@contextmanager
def _quiet() -> Iterator[None]:
    """The reference warns of token ids that a tiny vocabulary lacks and of contexts that a tiny config shrinks."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
