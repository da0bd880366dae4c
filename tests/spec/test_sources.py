"""What an encoder-decoder spec says of the rows that its decoder looks at."""

from __future__ import annotations

import pytest

from triptych.assembly import assemble
from triptych.errors import InputError, SpecError
from triptych.parts.audio_sizes import AudioFrames
from triptych.parts.grid import Grid
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.facts import attention_of
from triptych.spec.item_facts import AudioFacts, ImageFacts
from triptych.spec.plan import plan


def test_the_rows_of_a_source_are_counted_by_the_tower_that_gives_them() -> None:
    (rule,) = plan("whisper", sample_config(load_named("whisper")[1])).sources.values()
    assert (rule.modality, rule.largest({}), rule.rows(AudioFacts(1), {})) == ("audio", AudioFacts(200 * 160), 100)
    assert rule.largest({"hop_length": 10}) == AudioFacts(2000)


def test_a_model_whose_layers_look_at_an_encoder_is_told_by_its_spec_and_when_it_is_built() -> None:
    name, tree = load_named("whisper")
    assert attention_of(tree) == "encoder_decoder"
    assert assemble(name, sample_config(tree)).module.attn_type == "encoder_decoder"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "parts.cross.source=audoi",
            "language_model: its layers look at 'audoi', and no tower gives that; did you mean",
        ),
        (
            "towers.audio.with.items.size=null",
            "language_model: the tower's spec 'whisper_encoder' says no `items`, with `size` and `rows`",
        ),
        ("towers.audio.with.tower.width=32", "towers.audio: gives rows of 32; the language model looks at rows of 64"),
    ],
)
def test_a_source_that_nothing_gives_is_told(change: str, message: str) -> None:
    config = sample_config(load_named("whisper")[1])
    with pytest.raises(SpecError, match=message):
        assemble("whisper", config, overrides=[change])


def test_every_waveform_has_the_grid_of_all_frames() -> None:
    size = AudioFrames(frames=7, stride=2)
    assert size(AudioFacts(3), {}) == size(AudioFacts(10**6), {}) == Grid(4, 1, 1)
    with pytest.raises(InputError, match="an item of 3 x 4; this tower takes audio"):
        size(ImageFacts(3, 4), {})
