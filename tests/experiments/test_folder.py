"""The folder of a run: what was whole stays whole, and a run that stopped is taken up where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.full_disk import room_for
from triptych.errors import InputError, OptionError
from triptych.experiments.compose import compose
from triptych.experiments.folder import open_run
from triptych.experiments.read import Ready, read
from triptych.experiments.run import folder_of, run_experiment
from triptych.experiments.whole import append_row, read_rows
from triptych.spec.document import read_document


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def ready() -> Ready:
    return read(compose("assemble"))


def test_a_run_is_kept_whole_and_its_spec_reads_back_equal(ready: Ready) -> None:
    outcome = run_experiment("assemble")
    assert outcome.folder == Path("runs/assemble/as_it_is")
    names = ["experiment.yaml", "log.txt", "metrics.jsonl", "metrics.png", "result.json", "spec.yaml"]
    assert sorted(file.name for file in outcome.folder.iterdir()) == names
    assert read_document(outcome.folder / "spec.yaml") == ready.spec
    resolved = read_document(outcome.folder / "experiment.yaml")
    assert resolved["generate"]["max_tokens"] == 16  # nobody said so: a default
    assert json.loads((outcome.folder / "result.json").read_text()) == outcome.result
    assert "begun" in (outcome.folder / "log.txt").read_text()


def test_a_run_that_is_done_is_not_run_again() -> None:
    first = run_experiment("speak", ["data.prompts=[one]", "generate.max_tokens=2"])
    measured = (first.folder / "metrics.jsonl").read_text()
    again = run_experiment("speak", ["data.prompts=[one]", "generate.max_tokens=2"])
    assert again == first
    assert (first.folder / "metrics.jsonl").read_text() == measured
    assert "done before, with 1 rows there" in (first.folder / "log.txt").read_text()


def test_a_run_that_failed_is_taken_up_after_its_last_row_and_ends_as_one_in_a_piece() -> None:
    lines = [{"prompt": "one"}, {"prompt": "two" * 1000}, {"prompt": "three"}]
    Path("data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    words = ["data.prompts=[]", "data.file=data.jsonl", "generate.max_tokens=4", "generate.temperature=1.0"]
    with pytest.raises(InputError, match="3000 tokens"):
        run_experiment("speak", words)
    (folder,) = Path("runs/speak").iterdir()
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
    assert not (folder / "result.json").exists()
    assert "ERROR InputError: " in (folder / "log.txt").read_text()

    lines[1] = {"prompt": "two"}
    Path("data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    parts, whole = run_experiment("speak", words), run_experiment("speak", [*words, "run.folder=elsewhere"])
    rows = [
        [{**json.loads(line), "seconds": 0} for line in (outcome.folder / "metrics.jsonl").read_text().splitlines()]
        for outcome in (parts, whole)
    ]
    assert rows[0] == rows[1]
    assert [row["prompt"] for row in rows[0]] == ["one", "two", "three"]
    assert parts.result["prompts"] == 3


def test_a_run_of_another_spec_is_refused_with_the_difference() -> None:
    path = Path("mine/experiment/mine.yaml")
    path.parent.mkdir(parents=True)
    path.write_text("defaults: [assemble, _self_]\nmodel: {projectors: {image: {mlp: {bias: true}}}}\n")
    run_experiment(str(path))
    norm = "{norm: {use: rms_norm, eps: 1e-6}}"
    path.write_text(f"defaults: [assemble, _self_]\nrun: {{seed: 1}}\nmodel: {{projectors: {{image: {norm}}}}}\n")
    with pytest.raises(OptionError) as raised:
        run_experiment(str(path))
    spec, experiment = "runs/mine/as_it_is/spec.yaml", "runs/mine/as_it_is/experiment.yaml"
    assert f"{experiment}: run.seed: 0 when this run was begun, 1 now" in str(raised.value)
    assert f"{spec}: projectors.image.mlp.bias: True when this run was begun, absent now" in str(raised.value)
    assert f"{spec}: projectors.image.norm.use: absent when this run was begun, 'rms_norm' now" in str(raised.value)
    assert "this is another run; another `run.folder` begins it" in str(raised.value)


def test_a_run_whose_steps_stand_in_another_order_is_another_run() -> None:
    path = Path("mine/experiment/mine.yaml")
    path.parent.mkdir(parents=True)
    start = "defaults: [assemble, _self_]\nmodel: {projectors: {image: "
    path.write_text(f"{start}{{mlp: null, a_norm: {{use: rms_norm, eps: 1e-6}}, b: {{use: mlp}}}}}}}}\n")
    run_experiment(str(path))
    path.write_text(f"{start}{{mlp: null, b: {{use: mlp}}, a_norm: {{use: rms_norm, eps: 1e-6}}}}}}}}\n")
    with pytest.raises(OptionError, match=r"spec\.yaml: projectors\.image\.\(order\): "):
        run_experiment(str(path))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device"), SystemExit(1)])
def test_rows_of_a_run_that_is_stopped_are_kept(stop: BaseException, ready: Ready, tmp_path: Path) -> None:
    def stopped() -> None:
        with open_run(tmp_path / "run", ready) as folder:
            folder.add({"a": 1})
            raise stop

    with pytest.raises(type(stop)):
        stopped()
    with open_run(tmp_path / "run", ready) as folder:
        assert (folder.rows, folder.result) == ([{"a": 1}], None)
        folder.add({"a": 2})
        folder.finish({"sum": 3})
    with open_run(tmp_path / "run", ready) as folder:
        assert (folder.rows, folder.result) == ([{"a": 1}, {"a": 2}], {"sum": 3})


def test_a_disk_that_is_full_leaves_the_rows_before_whole(ready: Ready, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", ready) as folder:
        folder.add({"a": 1})
        size = (tmp_path / "run" / "metrics.jsonl").stat().st_size
        with room_for(size + 3), pytest.raises(OSError, match="too large"):
            folder.add({"a": "long"})
        assert (tmp_path / "run" / "metrics.jsonl").read_text() == '{"a": 1}\n'
        folder.add({"a": 2})
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'


def test_a_run_whose_spec_did_not_fit_is_begun_again(ready: Ready, tmp_path: Path) -> None:
    with room_for(600), pytest.raises(OSError, match="too large"), open_run(tmp_path / "run", ready):
        pass
    assert not (tmp_path / "run" / "spec.yaml").exists()
    with open_run(tmp_path / "run", ready) as folder:
        assert read_document(folder.spec) == ready.spec


ROWS = st.lists(
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.floats(allow_nan=False)), max_size=4
)


@given(rows=ROWS, cut=st.integers(0, 400), row=st.just({"next": "line\nbreak"}))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_wherever_a_file_of_rows_is_cut_whole_ones_are_kept_and_more_can_follow(rows, cut, row, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.unlink(missing_ok=True)
    with open(path, "a+b", buffering=0) as file:
        for each in rows:
            append_row(file, each)
        file.truncate(min(cut, path.stat().st_size))
        kept = read_rows(file)
        append_row(file, row)
        assert read_rows(file) == [*kept, row]
    ends = [sum(len(json.dumps(r, ensure_ascii=False).encode()) + 1 for r in rows[:n]) for n in range(len(rows) + 1)]
    assert kept == rows[: max(n for n, end in enumerate(ends) if end <= cut)]


def test_a_run_has_one_process_at_a_time(ready: Ready, tmp_path: Path) -> None:
    with (
        open_run(tmp_path / "run", ready),
        pytest.raises(OptionError, match="another process is running this"),
        open_run(tmp_path / "run", ready),
    ):
        pass


def test_a_result_that_was_changed_is_told(ready: Ready, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", ready) as folder:
        folder.finish({})
    (tmp_path / "run" / "result.json").write_text("{")
    with pytest.raises(OptionError, match=r"result\.json was changed"), open_run(tmp_path / "run", ready):
        pass


WORDS = st.lists(st.text(alphabet="ab=,./ é", max_size=5).filter(lambda w: not w.startswith("run.folder=")), max_size=3)


@given(one=WORDS, other=WORDS)
@example(one=[".."], other=["."])
def test_other_words_have_another_folder_and_each_is_one_name(one: list[str], other: list[str], ready: Ready) -> None:
    folders = [folder_of(ready, words) for words in (one, other)]
    assert all(folder.parent == Path("runs/assemble") and len(folder.name) < 200 for folder in folders)
    assert (folders[0] == folders[1]) == (",".join(one) == ",".join(other))


def test_prompts_are_told_by_line_where_they_cannot_be_read() -> None:
    Path("data.jsonl").write_text('{"prompt": "a"}\n\n{"promt": "b"}\nno\n[1]\n{"prompt": 3}\n')
    with pytest.raises(InputError) as raised:
        run_experiment("speak", ["data.file=data.jsonl"])
    told = str(raised.value)
    assert "data.jsonl:3:1: promt: unknown key 'promt'; did you mean 'prompt'?" in told
    assert "data.jsonl:4:1: no JSON: " in told
    assert "data.jsonl:5:1: a mapping is wanted; found [1]" in told
    assert "data.jsonl:6:1: prompt: input should be a valid string; found 3" in told
    with pytest.raises(InputError, match=r"data: no prompts; give `data.prompts`, or a `data.file` of JSON lines"):
        run_experiment("speak", ["data.prompts=[]"])
    with pytest.raises(InputError, match=r"data.file: nowhere: No such file or directory"):
        run_experiment("speak", ["data.file=nowhere"])


def test_lines_are_read_as_editors_of_any_system_write_them() -> None:
    Path("data.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b"}')
    assert (
        run_experiment("speak", ["data.prompts=[]", "data.file=data.jsonl", "generate.max_tokens=1"]).result["prompts"]
        == 2
    )


def test_every_line_that_cannot_be_read_and_every_image_that_is_not_there_is_told_at_once() -> None:
    Path("data.jsonl").write_bytes(
        b'{"prompt": "a", "images": ["no.png", "."]}\n{"prompt": "\xe9"}\n' + b"[" * 100_000 + b'\n{"prompt" 1}\n'
    )
    with pytest.raises(InputError) as raised:
        run_experiment("speak", ["data.file=data.jsonl"])
    told = str(raised.value).splitlines()
    assert told[:2] == [
        "data.jsonl:1:1: images: no such file: no.png",
        "data.jsonl:1:1: images: no such file: .",
    ]
    assert [line.partition(": no JSON: ")[0] for line in told[2:]] == [
        "data.jsonl:2:1",
        "data.jsonl:3:1",
        "data.jsonl:4:11",
    ]
    assert not Path("runs").exists()


def test_a_folder_is_no_data() -> None:
    with pytest.raises(InputError, match=r"data\.file: \.: no file of JSON lines"):
        run_experiment("speak", ["data.file=."])


@pytest.mark.parametrize("task", ["generate", "bench"])
def test_a_prompt_that_the_model_does_not_take_is_told_with_its_line_or_its_override(task: str) -> None:
    lines = [{"prompt": "one"}, {"prompt": "two" * 1000}]
    Path("data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    words = [f"task={task}", "generate.max_tokens=1"]
    with pytest.raises(InputError, match=r"^data\.jsonl:2:1: prompt.*: has 3000 tokens"):
        run_experiment("speak", [*words, "data.prompts=[]", "data.file=data.jsonl"])
    with pytest.raises(InputError, match=r"^override 'data\.prompts=\[a,\"\"\]': prompt.*: is empty"):
        run_experiment("speak", [*words, 'data.prompts=[a,""]'])


def test_a_row_that_was_changed_is_told_with_its_line_and_no_row_after_it_is_lost(ready: Ready, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", ready) as folder:
        folder.add({"a": 1})
    metrics = tmp_path / "run" / "metrics.jsonl"
    changed = '{"a": 1}\n{"a": \n{"a": 3}\n[4]\n{"a"'
    metrics.write_text(changed)
    with pytest.raises(OptionError) as raised, open_run(tmp_path / "run", ready):
        pass
    assert [line.partition(": ")[0] for line in str(raised.value).splitlines()] == [f"{metrics}:2:1", f"{metrics}:4:1"]
    assert metrics.read_text() == changed


def test_a_run_of_which_nothing_was_measured_is_begun_afresh(ready: Ready, tmp_path: Path) -> None:
    other = read(compose("assemble", ["run.seed=1", "tower=siglip"]))
    with open_run(tmp_path / "run", other):
        pass
    with open_run(tmp_path / "run", ready) as folder:
        assert read_document(folder.spec) == ready.spec
        folder.add({"a": 1})
    with (
        pytest.raises(OptionError, match=r"run\.seed: 0 when this run was begun, 1 now"),
        open_run(tmp_path / "run", other),
    ):
        pass


@pytest.mark.parametrize("result", ["[]", "3", "null"])
def test_a_result_that_is_no_object_is_told(result: str, ready: Ready, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", ready) as folder:
        folder.finish({})
    (tmp_path / "run" / "result.json").write_text(result)
    with pytest.raises(OptionError, match=r"result\.json was changed"), open_run(tmp_path / "run", ready):
        pass


def test_a_number_that_was_taken_out_of_a_row_is_told() -> None:
    words = ["data.prompts=[one]", "generate.max_tokens=1"]
    folder = run_experiment("speak", words).folder
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").write_text('{"prompt": "one", "seconds": 1.0}\n')
    with pytest.raises(OptionError, match="tokens: a row of the run was changed: None is no number"):
        run_experiment("speak", words)
