"""What fails in a class that somebody wrote is told with its place and whose it is; a user sees no traceback."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import triptych
from tests.assembly.hand_written import TinyForCausalLM
from tests.assembly.test_conversion import llama
from tests.cli.command import Capture, ran
from tests.parity.oracle import Oracle
from triptych.errors import PluginError
from triptych.parts.step import Step
from triptych.registry import models as models_module
from triptych.registry import part
from triptych.registry import parts as parts_module
from triptych.spec.base import PartSpec

LINE = inspect.getsourcelines


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})
    monkeypatch.setattr(parts_module, "_decorated", {})


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return llama("LlamaForCausalLM", tmp_path_factory.mktemp("buggy"), eos_token_id=None)


class Buggy(TinyForCausalLM):
    """It fails where a test says."""

    at: ClassVar = ""

    def __init__(self, settings: triptych.Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self._fail("__init__")

    def _fail(self, at: str) -> None:
        if self.at == at:
            raise KeyError("boom")

    def load_weights(self, weights: Any) -> set[str]:
        self._fail("load_weights")
        return super().load_weights(weights)

    def forward(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Any:
        self._fail("forward")
        return super().forward(input_ids, positions, step=step, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        self._fail("compute_logits")
        return super().compute_logits(hidden_states)


class Pooler(nn.Module):
    def forward(self, *_: object) -> Tensor:
        raise KeyError("boom")


class Pools(TinyForCausalLM):
    is_pooling_model: ClassVar = True
    pooler: nn.Module

    def __init__(self, settings: triptych.Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.pooler = Pooler()


def generate(folder: Path) -> None:
    triptych.load(folder, dtype="float32").generate([5, 9, 33], max_tokens=2)


@pytest.mark.parametrize(
    ("at", "doing"),
    [
        ("__init__", "as it is built"),
        ("load_weights", "as it is loaded"),
        ("forward", "as it runs"),
        ("compute_logits", "as it runs"),
    ],
)
def test_a_bug_of_a_class_is_told_with_its_place_and_the_cause_is_chained(
    at: str, doing: str, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buggy, "at", at)
    triptych.register_model("LlamaForCausalLM", Buggy, on_duplicate="replace")
    with pytest.raises(PluginError) as caught:
        generate(oracle.folder)
    place = f"{__file__}:{LINE(Buggy._fail)[1] + 2}:1"
    assert str(caught.value) == f"{place}: Buggy ({__name__}:Buggy._fail) fails {doing}: KeyError: 'boom'"
    assert isinstance(caught.value.__cause__, KeyError)
    assert torch.get_default_dtype() == torch.float32


def test_a_user_of_the_command_sees_the_message_and_no_traceback(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(Buggy, "at", "load_weights")
    triptych.register_model("LlamaForCausalLM", Buggy, on_duplicate="replace")
    status, out, err = ran(capsys, "run", str(oracle.folder), "hello")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].endswith(f": Buggy ({__name__}:Buggy._fail) fails as it is loaded: KeyError: 'boom'")


def test_so_is_one_of_a_head_that_scores_answers(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Buggy, "at", "compute_logits")
    triptych.register_model("LlamaForCausalLM", Buggy, on_duplicate="replace")
    model = triptych.load(oracle.folder, dtype="float32")
    with pytest.raises(PluginError, match=r"Buggy \(.*:Buggy\._fail\) fails as it runs: KeyError: 'boom'$"):
        model.likelihood([[5, 9]], [[7]])


def test_so_is_one_of_a_pooler(oracle: Oracle) -> None:
    triptych.register_model("LlamaForCausalLM", Pools, on_duplicate="replace")
    with pytest.raises(PluginError, match=r"Pools \(.*:Pooler\.forward\) fails as it runs: KeyError: 'boom'$"):
        triptych.load(oracle.folder, dtype="float32").embed([5, 9])


def test_a_class_whose_forward_lacks_an_argument_is_named(oracle: Oracle) -> None:
    class Short(TinyForCausalLM):
        def forward(self, input_ids: Any, positions: Any, *, step: Any) -> Any:  # type: ignore[override]
            return super().forward(input_ids, positions, step=step)

    triptych.register_model("LlamaForCausalLM", Short, on_duplicate="replace")
    with pytest.raises(PluginError, match=r"Short \(.*\) fails as it runs: TypeError: .*Short\.forward\(\) got"):
        generate(oracle.folder)


class BuggyNormSpec(PartSpec):
    builds: ClassVar[str | type] = ""
    at: str = ""


class BuggyNorm(nn.Module):
    """A part of somebody's inside a model of a spec."""

    def __init__(self, spec: BuggyNormSpec, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        if spec.at == "__init__":
            raise KeyError("boom")

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.ones(1)


@pytest.mark.parametrize(("at", "told"), [("__init__", "as it is built: KeyError"), ("", "as it runs: RuntimeError")])
def test_so_is_one_of_a_part_in_the_model_of_a_spec(at: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BuggyNormSpec, "builds", BuggyNorm)
    part("norm", "buggy")(BuggyNormSpec)
    with pytest.raises(PluginError, match=rf":BuggyNorm\.\w+\) fails {told}"):
        triptych.random_init(
            "llama", overrides=["parts.norm.use=buggy", "parts.norm.eps=null", f"parts.norm.at={at!r}"]
        ).generate([5, 9], max_tokens=1)
