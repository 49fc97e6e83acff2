"""What fits the GPU: which clips are over its limit, and which smaller ones are named."""

import pytest

from worker.errors import InvalidInput
from worker.input.limits import check, suggest
from worker.input.request import Form

GB = 10**9
LIMITS = ((16, 10.0), (24, 55.0), (48, 120.0))


def form(width: int, height: int, frames: int) -> Form:
    return Form((width, height), (width, height), frames, frames)


@pytest.mark.parametrize(
    ("clip", "memory"),
    [
        (form(1000, 1000, 10), 16 * GB),
        (form(1000, 1000, 10), 24 * GB - 1),
        (form(1000, 1000, 55), 24 * GB),
        (form(1000, 1000, 120), 80 * GB),
        (form(2048, 2048, 129), 16 * GB - 1),  # no limit is known for so little
    ],
)
def test_a_clip_within_the_limit_of_its_gpu_passes(clip: Form, memory: int) -> None:
    check(clip, memory, LIMITS)


@pytest.mark.parametrize(
    ("clip", "memory", "words"),
    [
        (form(1280, 720, 129), 24 * GB, "129 frames of 1280x720 are 119 megapixels; on its GPU of 24 GB this worker "
         "allows 55 (CLIP_LIMITS): at most 59 frames of this size or width 848 and height 480"),
        (form(720, 1280, 129), 24 * GB, "at most 59 frames of this size or width 480 and height 848"),
        (form(1280, 720, 129), 16 * GB, "at most 10 frames of this size"),
        (form(960, 960, 60), 24 * GB, "at most 59 frames of this size or width 640 and height 640"),
        (form(640, 640, 25), 16 * GB, "at most 24 frames of this size or width 544 and height 720"),
        (form(4000, 4000, 1), 16 * GB, "allows 10 (CLIP_LIMITS): width 960 and height 960"),
        (form(4000, 4000, 200), 16 * GB, "fewer, smaller frames"),
    ],
)  # fmt: skip
def test_one_over_it_is_refused_with_what_may_be_asked_for(clip: Form, memory: int, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(clip, memory, LIMITS)
    assert caught.value.details["fields"].keys() == {"num_frames"}
    assert caught.value.message.startswith("num_frames: ")
    assert caught.value.message.endswith(words)


@pytest.mark.parametrize(
    ("clip", "ways"),
    [
        (form(1280, 720, 129), "num_frames 77 at 1280x720 or 129 frames at width 848 and height 480"),
        (form(720, 1280, 9), "num_frames 5 at 720x1280 or 9 frames at width 480 and height 848"),
        (form(640, 640, 1), "nothing smaller is of use: take a GPU with more memory"),
        (form(640, 640, 5), "num_frames 1 at 640x640"),
        (form(960, 960, 1), "1 frames at width 640 and height 640"),
    ],
)
def test_two_smaller_clips_are_suggested_where_there_are_such(clip: Form, ways: str) -> None:
    assert suggest(clip) == ways
