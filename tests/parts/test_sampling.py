"""Which frames of a video are taken where some are as far apart as a second."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import InputError
from triptych.parts.sampling import Paces
from triptych.spec.item_facts import VideoFacts

FRAMES = st.integers(1, 3000)


@settings(deadline=None)
@given(FRAMES, st.floats(0.1, 120.0), st.integers(1, 80))
def test_about_a_frame_a_second_is_taken_and_of_too_many_the_middles_of_equal_stretches(
    frames: int, fps: float, most: int
) -> None:
    found = [*Paces(fps=1.0, most=most)(VideoFacts(frames, 9, 9, fps), {})]
    paces = range(0, frames, max(1, round(fps)))
    assert found == sorted(set(found))
    assert len(found) == min(most, len(paces))
    assert {*found} <= {*paces}
    if len(paces) <= most:
        assert found == [*paces]
    else:
        middles = [(i + 0.5) * len(paces) / most for i in range(most)]
        assert all(abs(paces.index(f) + 0.5 - at) <= 0.5 + 1e-6 for f, at in zip(found, middles, strict=True))


@settings(deadline=None, max_examples=30)
@given(FRAMES, st.integers(1, 80))
def test_a_processor_may_ask_for_a_number_of_frames_which_a_video_that_has_fewer_gives_whole(
    frames: int, number: int
) -> None:
    found = [*Paces(fps=1.0)(VideoFacts(frames, 9, 9), {"num_frames": number})]
    assert found == ([*range(frames)] if number >= frames else sorted({*found}))
    assert len(found) == min(number, frames)


def test_a_video_without_a_number_of_frames_a_second_is_told_what_else_may_be_asked_for() -> None:
    with pytest.raises(InputError, match="ask for num_frames instead of fps"):
        Paces(fps=1.0)(VideoFacts(10, 9, 9), {})
