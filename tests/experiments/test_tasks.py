"""The tasks of an experiment: what each measures, on random weights and on those of a checkpoint."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.multimodal import Pair, all_cases, picture
from tests.parity.oracle import build_oracle, tiny_config
from triptych.errors import CheckpointError, InputError, OptionError, SpecError, WeightMapError
from triptych.experiments.run import Outcome, run_experiment

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}assistant:"
SHORT = "generate.max_tokens=4"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama of transformers, saved with a tokenizer and a chat template."""
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    folder = tmp_path_factory.mktemp("llama")
    build_oracle({**config, "vocab_size": 400}, folder, seed=3)
    save(byte_level(), folder, chat_template=CHAT)
    return folder


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "mine") -> str:
    path = Path(f"conf/experiment/{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def data(*lines: dict[str, object]) -> str:
    path = Path("somewhere/data.jsonl")
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return f"data.file={path}"


def rows(outcome: Outcome) -> list[dict[str, object]]:
    return [json.loads(line) for line in (outcome.folder / "metrics.jsonl").read_text().splitlines()]


def test_check_measures_each_component() -> None:
    outcome = run_experiment("assemble")
    found = {row["component"]: row for row in rows(outcome)}
    assert [*found] == ["towers.image", "projectors.image", "language_model"]
    assert outcome.result["parameters"] == sum(row["parameters"] for row in found.values())  # type: ignore[misc]
    assert (found["towers.image"]["tokens"], outcome.result["image_tokens"]) == (17, 17)
    assert (outcome.folder / "metrics.png").read_bytes().startswith(b"\x89PNG")


def test_generate_says_which_answers_are_those_that_were_looked_for(checkpoint: Path) -> None:
    (greedy,) = triptych.load(checkpoint, dtype="float32").generate("one", max_tokens=4)
    file = data({"prompt": "one", "answer": f" {greedy.text}\n"}, {"prompt": "two", "answer": "none"}, {"prompt": "3"})
    outcome = run_experiment(written(f"task: generate\ncheckpoint: {checkpoint}\n"), [file, SHORT])
    assert [row.get("exact") for row in rows(outcome)] == [True, False, None]
    assert outcome.result["exact"] == 0.5


@pytest.mark.parametrize("tower", ["clip", "pixtral", "qwen2_vl", "siglip2"])
def test_on_random_weights_a_tower_is_shown_images_of_any_size(tower: str) -> None:
    Path("somewhere").mkdir()
    for name, size in (("a.png", (64, 48)), ("b.png", (30, 200))):
        Image.effect_noise(size, 60).save(f"somewhere/{name}")
    lines: list[dict[str, object]] = [
        {"prompt": "<image> it is", "answer": " so", "images": [name]} for name in ("a.png", "b.png")
    ]
    outcome = run_experiment("assemble", [f"tower={tower}", "task=score", data(*lines)])
    assert len({row["logprob"] for row in rows(outcome)}) == len(lines)


def test_a_checkpoint_gives_weights_tokenizer_and_chat_template(checkpoint: Path) -> None:
    model = triptych.load(checkpoint, dtype="float32")
    name = written(f"task: generate\ncheckpoint: {checkpoint}\ndata: {{prompts: [one, two]}}\n")
    for raw in (False, True):
        wanted = model.generate(["one", "two"], max_tokens=4, raw=raw)
        found = rows(run_experiment(name, [SHORT, f"data.raw={str(raw).lower()}"]))
        assert [row["text"] for row in found] == [answer.text for answer in wanted]
        assert [row["prompt_tokens"] for row in found] == [len(answer.prompt_token_ids) for answer in wanted]


def test_a_spec_may_be_tried_on_a_checkpoint(checkpoint: Path) -> None:
    settings = f"task: generate\ncheckpoint: {checkpoint}\ndata: {{prompts: [one]}}\n"
    model = "model: {schema: 1, base: llama, parts: {norm: {eps: =config.norm_eps + 0.5}}}\n"
    plain, changed = (run_experiment(written(text, name)) for text, name in [(settings, "a"), (settings + model, "b")])
    assert rows(plain)[0]["text"] != rows(changed)[0]["text"]
    assert "eps: =config.norm_eps + 0.5" in (changed.folder / "spec.yaml").read_text()


def test_a_checkpoint_is_held_to_the_spec(checkpoint: Path) -> None:
    outcome = run_experiment(written(f"task: check\ncheckpoint: {checkpoint}\n"))
    assert outcome.result["width"] == 64
    shutil.copytree(checkpoint, "deeper")
    config = json.loads(Path("deeper/config.json").read_text())
    Path("deeper/config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(WeightMapError, match=r"missing: .*layers\.2"):
        run_experiment(written("task: check\ncheckpoint: deeper\n", "deeper"))


def test_without_a_model_a_checkpoint_chooses_the_spec_and_without_both_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"mine\.yaml:1:1: model: a spec is missing, or a `checkpoint`"):
        run_experiment(written("task: check\n"))
    with pytest.raises(CheckpointError, match=r"nowhere"):
        run_experiment(written("task: check\ncheckpoint: nowhere\n"))
    (tmp_path / "config.json").write_text('{"architectures": ["LlamoForCausalLM"]}')
    with pytest.raises(
        SpecError, match=r"model: no spec answers for LlamoForCausalLM; did you mean 'LlamaForCausalLM'"
    ):
        run_experiment(written(f"task: check\ncheckpoint: {tmp_path}\n"))


def test_images_stand_beside_the_file_that_names_them(tmp_path: Path) -> None:
    pair = Pair.of(next(all_cases()), tmp_path / "llava")
    file = data({"prompt": "w5 <image> w6", "images": ["a.png"]}, {"prompt": "w5 w6"})
    image = picture(np.random.default_rng(0), (40, 70))
    image.save("somewhere/a.png")
    outcome = run_experiment(written(f"task: generate\ncheckpoint: {tmp_path / 'llava'}\n"), [file, SHORT])
    (wanted,) = pair.model.generate("w5 <image> w6", image, max_tokens=4)
    assert rows(outcome)[0]["images"] == ["somewhere/a.png"]
    assert [row["prompt_tokens"] for row in rows(outcome)] == [len(wanted.prompt_token_ids), 3]
    assert rows(outcome)[0]["text"] == wanted.text


def test_score_is_how_likely_the_answers_are(checkpoint: Path) -> None:
    given = [{"prompt": "one", "answer": " two"}, {"prompt": "three, four", "answer": " five and six"}]
    name = written(f"task: score\ncheckpoint: {checkpoint}\n")
    outcome = run_experiment(name, [data(*given)])
    prompts, answers = ([item[key] for item in given] for key in ("prompt", "answer"))
    wanted = triptych.load(checkpoint, dtype="float32").likelihood(prompts, answers)
    assert [row["logprob"] for row in rows(outcome)] == pytest.approx([each.logprob for each in wanted], rel=1e-4)
    per_token = sum(each.logprob for each in wanted) / sum(len(each.token_ids) for each in wanted)
    assert outcome.result["perplexity"] == pytest.approx(math.exp(-per_token), rel=1e-4)
    assert outcome.result["greedy"] == 0


def test_a_model_for_embeddings_scores_by_its_kind(tmp_path: Path) -> None:
    folder, given = tmp_path / "bert", [{"prompt": "one", "answer": "two"}, {"prompt": "three", "answer": "one"}]
    config = tiny_config("BertModel")
    assert config is not None
    build_oracle({**config, "vocab_size": 400}, folder, seed=3)
    save(byte_level(), folder)
    name = written(f"task: score\ncheckpoint: {folder}\n")
    outcome = run_experiment(name, [data(*given)])
    queries, documents = ([item[key] for item in given] for key in ("prompt", "answer"))
    wanted = triptych.load(folder, dtype="float32").score(queries, documents)
    assert [row["score"] for row in rows(outcome)] == pytest.approx(wanted.tolist(), rel=1e-5)
    assert outcome.result["score"] == pytest.approx(wanted.mean().item(), rel=1e-5)
    with pytest.raises(
        InputError, match=r"data.jsonl:1:1: images: a model that pools scores pairs of texts alone; leave"
    ):
        run_experiment(name, [data({**given[0], "images": ["data.jsonl"]}), "run.folder=elsewhere"])


def test_what_is_greedy_is_told(checkpoint: Path) -> None:
    (answer,) = triptych.load(checkpoint, dtype="float32").generate("one", max_tokens=1)
    name = written(f"task: score\ncheckpoint: {checkpoint}\n")
    outcome = run_experiment(name, [data({"prompt": "one", "answer": answer.text}, {"prompt": "one", "answer": "x"})])
    assert [row["greedy"] for row in rows(outcome)] == [True, False]
    assert outcome.result["greedy"] == 0.5


def test_score_needs_answers() -> None:
    file = data({"prompt": "a", "answer": "b"}, {"prompt": "c"})
    with pytest.raises(InputError, match=r"data\.jsonl:2:1: answer: the answer that is looked for is missing"):
        run_experiment("speak", ["task=score", "data.prompts=[]", file])
    with pytest.raises(InputError, match=r"data\.prompts: prompts in place have no answers"):
        run_experiment("speak", ["task=score"])
    assert not Path("runs").exists()


def test_bench_times_every_repeat_and_sums_up_by_medians() -> None:
    outcome = run_experiment("speak", ["task=bench", "bench.repeats=3", SHORT])
    found = rows(outcome)
    assert [row["repeat"] for row in found] == [0, 1, 2]
    assert {(row["prompts"], row["prompt_tokens"], row["tokens"]) for row in found} == {(3, 3 + 8 + 15, 12)}
    first, seconds = (sorted(float(str(row[key])) for row in found)[1] for key in ("first_token_seconds", "seconds"))
    assert 0 < first < seconds
    assert outcome.result["tokens_per_second"] == pytest.approx(9 / (seconds - first))
    assert outcome.result["prompt_tokens_per_second"] == pytest.approx(26 / first)


def test_the_first_token_is_timed_apart_from_the_whole_after_a_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    generate = triptych.Model.generate

    def noted(model: triptych.Model, *args: Any, **options: Any) -> Any:
        asked.append(options["max_tokens"])
        return generate(model, *args, **options)

    monkeypatch.setattr(triptych.Model, "generate", noted)
    run_experiment("speak", ["task=bench", "bench.repeats=2", "bench.warmup=3", SHORT])
    assert asked == [4, 4, 4, 1, 4, 1, 4]


def test_a_bench_that_stopped_measures_what_is_left() -> None:
    words = ["task=bench", "bench.repeats=3", "generate.max_tokens=1"]
    whole = run_experiment("speak", words)
    kept = (whole.folder / "metrics.jsonl").read_text().splitlines()[0]
    (whole.folder / "metrics.jsonl").write_text(f"{kept}\n")
    (whole.folder / "result.json").unlink()
    again = run_experiment("speak", words)
    assert (again.folder / "metrics.jsonl").read_text().splitlines()[0] == kept
    assert [row["repeat"] for row in rows(again)] == [0, 1, 2]
    assert "tokens_per_second" not in again.result


def test_a_run_whose_data_has_changed_is_refused_with_the_difference() -> None:
    words = ["data.prompts=[]", SHORT]
    run_experiment("speak", [*words, file := data({"prompt": "a"}, {"prompt": "b"})])
    data({"prompt": "a"}, {"prompt": "c"}, {"prompt": "d"})
    with pytest.raises(OptionError) as raised:
        run_experiment("speak", [*words, file])
    assert "metrics.jsonl:2:1: prompt: 'b' when this row was measured, 'c' now" in str(raised.value)
    assert "2 rows were measured, and 3 are asked now" in str(raised.value)
    assert "another `run.folder` begins it" in str(raised.value)
