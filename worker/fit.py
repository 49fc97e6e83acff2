"""What of a request to make smaller when the GPU's memory did not hold it."""

from worker.request import TRAINED_SIZES

SHRINK = 0.6  # of what was asked for, at most: how much memory was short by is not known


def suggest(width: int, height: int, num_frames: int) -> str:
    """Two smaller requests, in words: fewer frames of this size, and as many of a smaller trained size.

    Memory grows with width * height * num_frames. What the GPU holds is unknown here, so neither is a promise.
    """
    frames = max(1, (int(num_frames * SHRINK) - 1) // 4 * 4 + 1)
    ways = [f"num_frames {frames} at {width}x{height}"] if frames < num_frames else []
    if size := _smaller_size(width, height):
        ways.append(f"{num_frames} frames at width {size[0]} and height {size[1]}")
    return " or ".join(ways) or "nothing smaller is of use: take a GPU with more memory"


def _smaller_size(width: int, height: int) -> tuple[int, int] | None:
    """The largest trained size of at most SHRINK of the pixels, of about the same shape."""
    wide = [size for sizes in TRAINED_SIZES.values() for size in sizes]
    fitting = [size for size in wide if size[0] * size[1] <= SHRINK * width * height]
    if not fitting:
        return None
    aspect = max(width, height) / min(width, height)
    best = min(fitting, key=lambda size: (round(abs(size[0] / size[1] - aspect), 1), -size[0] * size[1]))
    return best if width > height else best[::-1]
