"""A model class that is written by hand, through the public door: registered, chosen by its architecture, run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import triptych
from tests.parity.oracle import TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from tests.registry.test_plugins import Site
from tests.tasks.hand_written import HandLlama
from tests.weights.test_memory import CONFIG, LAYER
from triptych.assembly import LanguageModel
from triptych.errors import (
    CapabilityError,
    OptionError,
    PluginError,
    RegistrationError,
    SpecError,
    UnknownNameError,
    WeightMapError,
)
from triptych.parts.cache_needs import Rows
from triptych.registry import models as models_module
from triptych.registry.models import register_model
from triptych.registry.resolution import ResolutionSettings
from triptych.runner.needs import complete
from triptych.settings import Settings
from triptych.spec.models import resolver
from triptych.tasks import hand_written as hand_written_module
from triptych.weights.hand_written import materialise

PROMPTS = [[5, 9, 33, 200, 17], [3], [7, 8] * 20, [250, 1, 1]]


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """A tiny Llama of transformers whose every tensor matters."""
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    return build_oracle({**config, "max_position_embeddings": 64}, tmp_path_factory.mktemp("llama"), seed=3)


@pytest.fixture
def folder(oracle: Oracle, tmp_path: Path) -> Path:
    """The same checkpoint, of an architecture that no spec claims."""
    return renamed(oracle, tmp_path, "HandForCausalLM")


def renamed(oracle: Oracle, folder: Path, *architectures: str, **changes: Any) -> Path:
    (folder / "model.safetensors").symlink_to(oracle.folder / "model.safetensors")
    config = json.loads((oracle.folder / "config.json").read_text("utf-8"))
    changes = {"architectures": list(architectures), "eos_token_id": None, **changes}
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    return folder


def test_it_runs_and_its_logits_are_those_of_the_spec_and_of_transformers(oracle: Oracle, folder: Path) -> None:
    triptych.model("HandForCausalLM")(HandLlama)
    model, of_spec = triptych.load(folder, dtype="float32"), triptych.load(oracle.folder, dtype="float32")
    assert isinstance(model.module, HandLlama)
    assert isinstance(of_spec.module, LanguageModel)
    assert (model.name, of_spec.name) == ("HandLlama", "llama")
    for prompt in PROMPTS:
        assert rms_ratio(model.logits(prompt), of_spec.logits(prompt)) <= TOLERANCE
        assert rms_ratio(model.logits(prompt), oracle.logits(prompt)) <= TOLERANCE
    found = model.generate(PROMPTS, max_tokens=12, ignore_eos=True, max_batch=3)
    assert [answer.token_ids for answer in found] == [tuple(oracle.generate(prompt, 12)) for prompt in PROMPTS]


def test_what_the_runner_asks_beside_the_forward_is_found(folder: Path) -> None:
    register_model("HandForCausalLM", HandLlama)
    module = triptych.load(folder, dtype="float32").module
    assert (module.vocab_size, module.context) == (256, 64)
    assert [*module.cache_needs()] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    with pytest.raises(triptych.InputError, match="has 65 tokens, and the model takes at most 64"):
        triptych.load(folder).generate([5] * 65)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", None])
def test_it_is_built_in_the_dtype_that_is_asked_for_else_in_the_checkpoints(
    dtype: str | None, oracle: Oracle, tmp_path: Path
) -> None:
    saved = {name: tensor.bfloat16() for name, tensor in load_file(oracle.folder / "model.safetensors").items()}
    save_file(saved, tmp_path / "model.safetensors")
    config = json.loads((oracle.folder / "config.json").read_text("utf-8"))
    config |= {"architectures": ["HandForCausalLM"], "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    register_model("HandForCausalLM", HandLlama)
    model = triptych.load(tmp_path, dtype=dtype)
    wanted = getattr(torch, dtype or "bfloat16")
    assert {p.dtype for p in model.module.parameters()} == {model.dtype} == {wanted}
    assert torch.get_default_dtype() == torch.float32
    assert model.logits([1, 2]).isfinite().all()


def test_the_default_dtype_is_put_back_when_a_constructor_fails(folder: Path) -> None:
    class Fails(HandLlama):
        def __init__(self, *, settings: Settings) -> None:
            raise ZeroDivisionError(settings)

    register_model("HandForCausalLM", Fails)
    with pytest.raises(PluginError, match=r"Fails\.__init__\) fails as it is built: ZeroDivisionError"):
        triptych.load(folder, dtype="bfloat16")
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("method", "rows", "message"),
    [
        ("forward", lambda _: None, r"^forward of .*Wrong gives NoneType; a tensor \[5, \.\.\.\] is wanted$"),
        ("forward", lambda n: torch.ones(n + 1, 64), r"^forward of .*Wrong gives a tensor \[6, 64\]; a tensor \[5, "),
        ("forward", lambda n: torch.ones(1, n, 64), r"^forward of .*Wrong gives a tensor \[1, 5, 64\]; a tensor \[5, "),
        ("compute_logits", lambda _: None, r"^compute_logits of .*Wrong gives NoneType; a tensor \[1, "),
        ("compute_logits", lambda n: torch.ones(n + 1, 256), r"^compute_logits of .*Wrong gives a tensor \[2, 256\]; "),
    ],
)
def test_a_row_for_each_token_is_wanted(folder: Path, method: str, rows: Any, message: str) -> None:
    class Wrong(HandLlama):
        pass

    setattr(Wrong, method, _gives(method, rows))
    register_model("HandForCausalLM", Wrong)
    with pytest.raises(CapabilityError, match=message):
        triptych.load(folder, dtype="float32").generate(PROMPTS[0], max_tokens=2)


def _gives(method: str, rows: Any) -> Any:
    def forward(
        self: HandLlama,  # noqa: ARG001
        input_ids: Tensor,
        positions: Tensor,  # noqa: ARG001
        *,
        step: object,  # noqa: ARG001
        inputs_embeds: Tensor | None = None,  # noqa: ARG001
    ) -> Any:
        return rows(len(input_ids))

    return forward if method == "forward" else lambda _, hidden_states: rows(len(hidden_states))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"context": "64"}, r"Wrong\.context: a number of tokens, or None, is wanted, not '64'$"),
        ({"cache_needs": {}}, r"Wrong\.cache_needs: a method that gives needs by key is wanted, not {}$"),
        ({"cache_needs": lambda _: None}, r"Wrong\.cache_needs: a method that gives needs by key is wanted, not None$"),
        (
            {"cache_needs": lambda _: {}},
            r"Wrong\.cache_needs: it has nothing for 'layers\.0\.self_attn', under which layers\.0\.self_attn keeps",
        ),
    ],
)
def test_what_an_author_says_wrongly_is_told_before_anything_is_read(
    folder: Path, said: dict[str, Any], message: str
) -> None:
    register_model("HandForCausalLM", type("Wrong", (HandLlama,), said))
    with pytest.raises(CapabilityError, match=message):
        triptych.load(folder, dtype="float32")


def test_names_of_what_was_loaded_may_come_in_any_collection_but_must_be_names(folder: Path) -> None:
    class Lists(HandLlama):
        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> list[str]:  # type: ignore[override]
            return [*super().load_weights(weights)]

    class Counts(HandLlama):
        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> int:  # type: ignore[override]
            return len(super().load_weights(weights))

    register_model("HandForCausalLM", Lists)
    assert triptych.load(folder, dtype="float32").logits([1, 2]).isfinite().all()
    register_model("HandForCausalLM", Counts, on_duplicate="replace")
    with pytest.raises(
        CapabilityError, match=r"^Counts\.load_weights gives \d+; the names of what it loaded are wanted$"
    ):
        triptych.load(folder, dtype="float32")


def test_a_class_without_load_weights_of_its_own_is_loaded_by_name(oracle: Oracle, tmp_path: Path) -> None:
    class Plain(HandLlama):
        load_weights = None  # type: ignore[assignment]

    with torch.device("meta"):
        made = Plain(settings=Settings(config=oracle.config))
    drawn = {name: torch.randn(p.shape) for name, p in made.named_parameters()}
    save_file(drawn, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**oracle.config, "architectures": ["HandForCausalLM"]}))
    register_model("HandForCausalLM", Plain)
    module = triptych.load(tmp_path, dtype="float32").module
    assert all(torch.equal(p, drawn[name]) for name, p in module.named_parameters())


def test_tensors_are_read_one_at_a_time_in_order_and_told_to_progress(
    folder: Path,
) -> None:
    read, told = list[str](), list[tuple[int, int]]()

    class Watched(HandLlama):
        @classmethod
        def is_unused_checkpoint_weight(cls, name: str) -> bool:
            return "layers.7." in name

        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
            def noting() -> Iterator[tuple[str, Tensor]]:
                for name, tensor in weights:
                    read.append(name)
                    assert len(told) == len(read) - 1, "the next is read when it is asked for"
                    yield name, tensor

            return super().load_weights(noting())

    register_model("HandForCausalLM", Watched)
    triptych.load(folder, dtype="float32", progress=lambda done, total: told.append((done, total)))
    (total,) = {total for _, total in told}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)
    assert len(read) == len(set(read)) == len(told)


def test_what_a_checkpoint_has_and_the_class_leaves_out_on_purpose_is_not_read(oracle: Oracle, tmp_path: Path) -> None:
    class Leaves(HandLlama):
        @classmethod
        def is_unused_checkpoint_weight(cls, name: str) -> bool:
            return name.startswith("vision.")

    saved = load_file(oracle.folder / "model.safetensors")
    save_file({**saved, "vision.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**oracle.config, "architectures": ["HandForCausalLM"]}))
    register_model("HandForCausalLM", Leaves)
    assert triptych.load(tmp_path, dtype="float32").logits(PROMPTS[0]).isfinite().all()
    register_model("HandForCausalLM", HandLlama, on_duplicate="replace")
    with pytest.raises(WeightMapError, match=r"vision\.weight"):
        triptych.load(tmp_path, dtype="float32")


def test_a_parameter_that_load_weights_does_not_name_is_told(folder: Path) -> None:
    class Forgets(HandLlama):
        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
            return super().load_weights(weights) - {"norm.weight", "layers.1.mlp.down.weight"}

    register_model("HandForCausalLM", Forgets)
    with pytest.raises(WeightMapError) as caught:
        triptych.load(folder, dtype="float32")
    assert str(caught.value).splitlines() == [
        "layers.1.mlp.down.weight: Forgets.load_weights loaded nothing to it",
        "norm.weight: Forgets.load_weights loaded nothing to it",
    ]


def test_a_load_weights_that_names_nothing_is_refused_as_what_it_passes_over_could_hold_anything(folder: Path) -> None:
    class Silent(HandLlama):
        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:  # type: ignore[override]
            list(weights)

    register_model("HandForCausalLM", Silent)
    with pytest.raises(CapabilityError, match=r"^Silent\.load_weights gives None; the names of what it loaded"):
        triptych.load(folder, dtype="float32")


def test_a_tied_parameter_counts_under_any_of_its_names(folder: Path) -> None:
    class Tied(HandLlama):
        def __init__(self, *, settings: Settings) -> None:
            super().__init__(settings=settings)
            self.lm_head.weight = self.embed.tokens.weight

        def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
            kept = ((name, tensor) for name, tensor in weights if name != "lm_head.weight")
            return super().load_weights(kept) - {"embed.tokens.weight"} | {"lm_head.weight"}

    register_model("HandForCausalLM", Tied)
    module = triptych.load(folder, dtype="float32").module
    assert module.lm_head.weight is module.embed.tokens.weight
    assert not module.lm_head.weight.is_meta


class Stepless(HandLlama):
    """It is written for a runner that keeps its caches aside."""

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        return self.embed_input_ids(input_ids) + positions[:, None]


def test_a_class_without_step_is_listed_and_refused_with_that_reason(folder: Path) -> None:
    register_model("HandForCausalLM", Stepless)
    assert resolver().inspect("HandForCausalLM", ResolutionSettings()).info.is_text_generation_model
    with pytest.raises(CapabilityError, match=r"the forward of Stepless has no parameter `step`.* Add the keyword"):
        triptych.load(folder)


HALF = """
class Half:
    supports_pp = True

    def __init__(self, size):
        pass

    def forward(self, x):
        return x
"""


def test_a_class_that_is_no_model_is_refused_with_every_reason_before_anything_is_read(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write({"half.py": HALF})
    monkeypatch.syspath_prepend(str(site.folder))
    (folder / "model.safetensors").unlink()
    register_model("HandForCausalLM", "half:Half")
    with pytest.raises(CapabilityError) as caught:
        triptych.load(folder)
    told = str(caught.value)
    for piece in ("does not take settings", "no embed_input_ids", "does not take positions", "supports_pp", "`step`"):
        assert piece in told


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


class Bare(nn.Module):
    """Nothing in it says what the runner wants to know."""

    def __init__(self, *, settings: Settings) -> None:
        super().__init__()
        self.settings, self.embed = settings, nn.Embedding(4, 2)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.embed(input_ids)

    def forward(self, input_ids: Tensor, positions: Tensor, *, step: object) -> Tensor:  # noqa: ARG002
        return self.embed_input_ids(input_ids)

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return hidden_states @ self.embed.weight.T


def test_all_that_the_runner_lacks_is_told_at_once() -> None:
    with pytest.raises(CapabilityError) as caught:
        complete(Bare(settings=Settings(config={})), {})
    vocabulary, cache = str(caught.value).splitlines()
    assert vocabulary == ("Bare.vocab_size: neither it nor the config has one; set it where the model is built")
    assert cache.startswith("Bare.cache_needs: no layer says what it keeps of a sequence")
    assert "write cache_needs(), which returns {} where nothing is kept" in cache


def test_mixers_that_share_a_key_or_have_none_are_named(oracle: Oracle) -> None:
    model = HandLlama(settings=Settings(config=oracle.config))
    first, second = (layer.self_attn for layer in model.layers)
    second.key = first.key
    with pytest.raises(
        CapabilityError,
        match=r"HandLlama\.layers\.1\.self_attn\.key: keeps its rows under 'layers\.0\.self_attn', as "
        r"layers\.0\.self_attn does",
    ):
        complete(model, oracle.config)
    second.key = None
    with pytest.raises(CapabilityError, match=r"layers\.1\.self_attn\.key: it keeps rows and has no key for them"):
        complete(model, oracle.config)
    assert not hasattr(model, "vocab_size"), "nothing is set"


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 7}, 7),
        ({"n_positions": 9}, 9),
        ({"text_config": {"max_position_embeddings": 8, "vocab_size": 5}}, 8),
        ({"max_position_embeddings": 10, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}, 20),
        ({}, None),
    ],
)
def test_the_longest_prompt_is_what_the_config_says_as_specs_read_it(
    config: dict[str, Any], context: int | None
) -> None:
    model = Bare(settings=Settings(config={}))
    model.cache_needs = dict  # type: ignore[assignment]
    complete(model, {"vocab_size": 4, **config})
    assert (model.context, model.vocab_size) == (context, 4)


def test_what_the_class_says_itself_is_left_as_it_is() -> None:
    class Told(Bare):
        vocab_size, context = property(lambda _: 3), property(lambda _: 2)

        def cache_needs(self) -> dict[str, Rows]:
            return {}

    model = Told(settings=Settings(config={}))
    complete(model, {"vocab_size": 4, "max_position_embeddings": 7})
    assert (model.vocab_size, model.context, model.cache_needs()) == (3, 2, {})


def test_parameters_without_memory_get_it_once_with_what_was_set_on_them() -> None:
    model = nn.Module()
    model.a, model.b = nn.Linear(2, 2, device="meta"), nn.Linear(2, 2, device="meta")
    model.c = nn.Linear(2, 2)
    kept, model.b.weight = model.c.weight, model.a.weight
    model.a.weight.weight_loader = print  # type: ignore[attr-defined]
    materialise(model, device=torch.device("cpu"))
    assert model.a.weight is model.b.weight
    assert model.a.weight.weight_loader is print  # type: ignore[attr-defined]
    assert model.c.weight is kept
    assert not any(p.is_meta for p in model.parameters())
    model.register_buffer("table", torch.ones(2, device="meta"))
    with pytest.raises(CapabilityError, match=r"Module: buffers were computed on the meta device .*: table"):
        materialise(model, device=torch.device("cpu"))


def test_it_is_refused_where_its_tensors_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_model("HandForCausalLM", HandLlama)
    monkeypatch.setattr(hand_written_module, "free_bytes", lambda _: 1000)
    with pytest.raises(OptionError, match=r"HandLlama has .* GiB of tensors in torch\.float32, and 0\.0 GiB are free"):
        triptych.load(folder, dtype="float32")


def test_overrides_change_a_spec_and_no_class(folder: Path) -> None:
    register_model("HandForCausalLM", HandLlama)
    with pytest.raises(OptionError, match=r"HandLlama is written by hand, and has no spec for parts\.norm\.eps=1"):
        triptych.load(folder, overrides=["parts.norm.eps=1"])


def test_a_class_and_a_spec_of_one_architecture_are_told_until_one_replaces_the_other(oracle: Oracle) -> None:
    register_model("LlamaForCausalLM", HandLlama)
    with pytest.raises(RegistrationError, match=r"offered by .*hand_written:HandLlama.* and by .*llama\.yaml"):
        triptych.load(oracle.folder)
    register_model("LlamaForCausalLM", HandLlama, on_duplicate="replace")
    assert isinstance(triptych.load(oracle.folder).module, HandLlama)


def test_a_spec_registered_as_a_mapping_is_loaded_with_its_overrides(oracle: Oracle, folder: Path) -> None:
    register_model("HandForCausalLM", {"schema": 1, "base": "llama", "parts": {"spare": {"use": "rope"}}})
    model = triptych.load(folder, dtype="float32")
    assert model.name == "HandForCausalLM"
    assert rms_ratio(model.logits(PROMPTS[0]), oracle.logits(PROMPTS[0])) <= TOLERANCE
    pooled = triptych.load(folder, dtype="float32", overrides=["pooler.take=mean"])
    assert pooled.embed([1, 2]).shape == (1, 64)
    with pytest.raises(SpecError, match=r"override 'pooler\.tke=mean': pooler\.tke: unknown key"):
        triptych.load(folder, overrides=["pooler.tke=mean"])


@pytest.mark.parametrize(
    ("architectures", "message"),
    [
        (
            ["LlamaForVideoClassification"],
            "no spec answers for LlamaForVideoClassification; LlamaForCausalLM is served",
        ),
        (["BertLMHeadModel"], "no spec answers for BertLMHeadModel; BertModel is served, and cannot be made it"),
    ],
)
def test_a_sibling_that_nothing_makes_of_the_registered_one_is_refused(
    architectures: list[str], message: str, oracle: Oracle, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        triptych.load(renamed(oracle, tmp_path, *architectures))


def test_the_first_architecture_that_is_served_is_taken_and_none_is_told(oracle: Oracle, tmp_path: Path) -> None:
    assert triptych.load(renamed(oracle, tmp_path, "Unheard", "LlamaForCausalLM")).name == "llama"
    (tmp_path / "config.json").write_text(json.dumps({**oracle.config, "architectures": ["Unheard", "Unseen"]}))
    with pytest.raises(UnknownNameError, match="unknown architecture 'Unheard'\nunknown architecture 'Unseen'"):
        triptych.load(tmp_path)
    config = {key: value for key, value in oracle.config.items() if key != "architectures"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert triptych.load(tmp_path).name == "llama", "by its model_type"


def test_a_class_that_writes_is_converted_when_asked(folder: Path) -> None:
    register_model("HandForCausalLM", HandLlama)
    assert triptych.load(folder).name == "HandLlama"
    assert triptych.load(folder, convert="embed").name == "HandLlamaForEmbedding"


def test_the_class_made_of_a_spec_loads_its_own_weights_in_any_layout(oracle: Oracle) -> None:
    made = resolver().resolve("LlamaForCausalLM", ResolutionSettings()).model
    saved = load_file(oracle.folder / "model.safetensors")
    wanted = triptych.load(oracle.folder, dtype="float32").module.state_dict()
    for weights in (saved, dict(reversed(saved.items()))):
        model = made(settings=Settings(config=oracle.config))
        materialise(model, device=torch.device("cpu"))
        assert model.load_weights(iter(weights.items())) == wanted.keys()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())
    embedding = resolver().resolve("LlamaForCausalLM", ResolutionSettings(conversion="embed")).model
    bare = {name.removeprefix("model."): tensor for name, tensor in saved.items() if name != "lm_head.weight"}
    model = embedding(settings=Settings(config=oracle.config))
    materialise(model, device=torch.device("cpu"))
    assert model.load_weights(bare.items()) == wanted.keys() - {"head.weight"}


MEASURE = """
import json, sys
from pathlib import Path

import torch

import triptych
from tests.tasks.hand_written import HandLlama
from tests.weights.test_memory import CONFIG, LAYER
from triptych.registry.models import register_model


def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


torch.set_num_threads(1)
register_model("HandForCausalLM", HandLlama)
triptych.load(sys.argv[1], dtype="float32").logits([1, 2])  # what is imported and kept by the first run of all
before = peak()
model = triptych.load(sys.argv[2], dtype="float32")
held = sum(p.nbytes for p in model.module.parameters())
print(json.dumps({"held": held, "grown": peak() - before}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_holds_one_copy_of_the_weights_and_two_tensors(oracle: Oracle, folder: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.mkdir()
    told = {"architectures": ["HandForCausalLM"], "num_key_value_heads": CONFIG["num_attention_heads"]}
    (large / "config.json").write_text(json.dumps({**oracle.config, **CONFIG, **told}))
    saved = {f"model.layers.{i}.{name}.weight": torch.zeros(shape) for i in range(3) for name, shape in LAYER.items()}
    saved |= {f"{name}.weight": torch.zeros(4000, 1024) for name in ("model.embed_tokens", "lm_head")}
    save_file({**saved, "model.norm.weight": torch.zeros(1024)}, large / "model.safetensors")
    program = f"import sys; sys.path.append({str(Path(__file__).resolve().parents[2])!r})\n{MEASURE}"
    command = [sys.executable, "-c", program, str(folder), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["held"] > 180e6
    assert found["grown"] < found["held"] + 2 * 4000 * 1024 * 4 + 20e6, found
