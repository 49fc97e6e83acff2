"""This worker beside other ways to do the same, in one table: `python -m bench`, or `make bench`.

Overhead is a job's time beyond ComfyUI's own. The ways: polling the history every 2 seconds; as worker-comfyui does,
waiting on the websocket and fetching each file from /view; at a start, one copy after another, then git and pip, then
ComfyUI, then the handler.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator

from bench import cold_start, memory, overhead, real_comfyui

ROUNDS = 8
Line = tuple[str, str, float, str, float]
"""What is measured, its unit, this worker's figure, another way's name, its figure."""


def measure_jobs(options: argparse.Namespace) -> Iterator[Line]:
    """Overhead and size of the replies."""
    with overhead.engine(options) as (url, home):
        for clip in overhead.clips():
            figures = overhead.run_in_turns(url, home, clip, ROUNDS)
            (ours, *others) = [
                (way, overhead.middle(row.overhead for row in rows), overhead.middle(row.reply for row in rows))
                for way, rows in figures.items()
            ]
            for way, seconds, size in others:
                yield f"overhead, {clip.name}", "ms", 1000 * ours[1], way, 1000 * seconds
                yield f"reply, {clip.name}", "MB", ours[2], way, size


def measure_memory() -> Iterator[Line]:
    """The most memory of the process with the SDK."""
    for clip in overhead.clips():
        ours, theirs = memory.compare(clip)
        yield f"memory, {clip.name}", "MB", ours.most, memory.PEER, theirs.most


def measure_starts() -> Iterator[Line]:
    """From the container's start to the first job, on a slow volume."""
    ours, reference, reading, boot, _ = cold_start.measure(cold_start.read_options([]))
    yield "start to first job", "s", ours, "one step after another", reference
    yield "start to first job", "s", ours, "the bound: volume or boot", max(reading, boot)


def render(lines: Iterator[Line]) -> Iterator[str]:
    """A Markdown table, line by line as the figures come."""
    yield "| measured | this worker | other way | its figure | ratio |"
    yield "|---|---|---|---|---|"
    for what, unit, ours, way, theirs in lines:
        yield f"| {what} | {_show(ours)} {unit} | {way} | {_show(theirs)} {unit} | {theirs / ours:.2f} |"


def _show(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    real_comfyui.add_arguments(parser, required=False)
    options = parser.parse_args()
    real_comfyui.leave_on_sigterm()
    for line in render(itertools.chain(measure_jobs(options), measure_memory())):
        print(line, flush=True)
    if lack := cold_start.find_lack():
        print(f"\nThe start is not measured, as the slow volume cannot be mounted: {lack}", file=sys.stderr)
        return
    for line in list(render(measure_starts()))[2:]:
        print(line, flush=True)


if __name__ == "__main__":
    main()
