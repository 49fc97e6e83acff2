"""What fits the GPU: the operator's limits, and what of a request to make smaller."""

from collections.abc import Sequence

from worker.errors import InvalidInput
from worker.input.request import TRAINED_SIZES, Form

SHRINK = 0.6  # of what was asked for, at most: how much memory was short by is not known
GB = 1e9


def check(form: Form, memory: int, limits: Sequence[tuple[float, float]]) -> None:
    """Refuse a clip over the limit for a GPU of so many bytes; raises InvalidInput naming what may be asked for.

    limits: (memory in GB, most megapixels of all frames together), by memory; a GPU with less than the first has none.
    """
    (width, height), num_frames = form.size, form.num_frames
    allowed = [megapixels for least, megapixels in limits if least * GB <= memory]
    megapixels = width * height * num_frames / 1e6
    if not allowed or megapixels <= allowed[-1]:
        return
    most = int(allowed[-1] * 1e6) // (width * height)
    ways = [f"at most {most} frames of this size"] if most else []
    if size := _smaller_size(width, height, int(allowed[-1] * 1e6) // num_frames):
        ways.append(f"width {size[0]} and height {size[1]}")
    fault = (
        f"{num_frames} frames of {width}x{height} are {megapixels:.0f} megapixels; on its GPU of {memory / GB:.0f} GB "
        f"this worker allows {allowed[-1]:g} (CLIP_LIMITS): {' or '.join(ways) or 'fewer, smaller frames'}"
    )
    raise InvalidInput(f"num_frames: {fault}", fields={"num_frames": fault})


def suggest(form: Form) -> str:
    """Two smaller requests, in words: fewer frames of this size, and as many of a smaller trained size.

    Memory grows with width * height * num_frames. What the GPU holds is unknown here, so neither is a promise.
    """
    (width, height), num_frames = form.size, form.num_frames
    frames = max(1, (int(num_frames * SHRINK) - 1) // 4 * 4 + 1)
    ways = [f"num_frames {frames} at {width}x{height}"] if frames < num_frames else []
    if size := _smaller_size(width, height, int(SHRINK * width * height)):
        ways.append(f"{num_frames} frames at width {size[0]} and height {size[1]}")
    return " or ".join(ways) or "nothing smaller is of use: take a GPU with more memory"


def _smaller_size(width: int, height: int, area: int) -> tuple[int, int] | None:
    """The largest trained size of at most `area` pixels, of about the same shape."""
    wide = [size for sizes in TRAINED_SIZES.values() for size in sizes]
    fitting = [size for size in wide if size[0] * size[1] <= area]
    if not fitting:
        return None
    aspect = max(width, height) / min(width, height)
    best = min(fitting, key=lambda size: (round(abs(size[0] / size[1] - aspect), 1), -size[0] * size[1]))
    return best if width > height else best[::-1]
