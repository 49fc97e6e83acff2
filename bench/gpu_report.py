"""The tables of docs/PERFORMANCE.md from the figures of bench/gpu.py: `python -m bench.gpu_report gpu.json`."""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.stages import OTHER, SAMPLERS, STAGES

STOCK = "stock"
Run = Mapping[str, Any]


def render(results: Mapping[str, Any]) -> str:
    """The machine and both tables, in Markdown."""
    good = [run for run in results["runs"] if "error" not in run]
    parts = [_machine(results, good)]
    stock = [run for run in good if run["option"] == STOCK]
    if stock:
        parts += [_presets(stock), _steps(stock)]
    if others := [run for run in good if run["option"] != STOCK and _stock_of(run, good)]:
        parts.append(_options(others, good))
    parts.append("\n".join(_faults(results["runs"])))
    return "\n\n".join(part for part in parts if part)


def _faults(runs: Sequence[Run]) -> Iterator[str]:
    """What failed, and what gave frames of one colour, as broken values do."""
    for run in runs:
        if "error" in run:
            yield f"- {run['preset']} with {run['option']} failed: {str(run['error']).splitlines()[0]}"
        elif run["check"]["deviation"] < 1:
            yield f"- {run['preset']} with {run['option']} gave frames of one colour: its figures do not count"


def _machine(results: Mapping[str, Any], good: Sequence[Run]) -> str:
    facts = {**results["machine"], **(good[0]["versions"] if good else {}), "weights": results["weights"]}
    rows = [[name.replace("_", " "), str(value)] for name, value in facts.items()]
    return _table(["", ""], rows) + f"\n\n```bash\n{results['command']}\n```"


def _presets(runs: Sequence[Run]) -> str:
    """Seconds of ComfyUI's own time, by stage."""
    names = [*STAGES, OTHER]
    used = [name for name in names if any(name in job["stages"] for run in runs for job in run["warm"])]
    balanced = next((run for run in runs if run["preset"] == "balanced"), None)
    rows = []
    for run in runs:
        clip = f"{'x'.join(map(str, run['clip_size']))}, {run['frames']}"
        stages = [_seconds(_median(job["stages"].get(name, 0.0) for job in run["warm"])) for name in used]
        rows.append([run["preset"], clip, _seconds(run["cold"]["total"]), _seconds(_total(run)), *stages])
        rows[-1] += [_seconds(run["between"]["gpu_idle"]), f"{run['peak_mb']['all'] / 1000:.1f}"]
        rows[-1].append(f"{_total(balanced) / _total(run):.2f}" if balanced else "")
    heads = ["preset", "clip, frames", "first s", "warm s", *used, "idle between two s", "peak GB", "x balanced"]
    return _table(heads, rows)


def _steps(runs: Sequence[Run]) -> str:
    """Seconds of a sampling step, by sampler."""
    rows = []
    for run in runs:
        for title in SAMPLERS:
            found = [job["steps"][title] for job in run["warm"] if title in job["steps"]]
            each = [steps["each"] for steps in found if steps["each"] is not None]
            if found:
                first, last = _seconds(_median(steps["first"] for steps in found)), _seconds(_median(each))
                rows.append([run["preset"], title, str(found[0]["count"]), first, last])
    return _table(["preset", "sampler", "steps", "first step s", "each further s"], rows)


def _options(runs: Sequence[Run], good: Sequence[Run]) -> str:
    """How many times as fast as the stock graph, and how far its clip is from that one's."""
    rows = []
    for run in runs:
        stock = _stock_of(run, good)
        assert stock
        check = run["check"]
        rows.append(
            [
                run["preset"],
                run["option"],
                _seconds(run["cold"]["total"]),
                _seconds(_total(run)),
                f"{_total(stock) / _total(run):.2f}",
                f"{_sampling(stock) / _sampling(run):.2f}",
                f"{run['peak_mb']['all'] / 1000:.1f}",
                f"{check['mean_difference']:.2f}, {check['largest_difference']:.0f}",
            ]
        )
    heads = [
        "preset",
        "option",
        "first s",
        "warm s",
        "x stock",
        "x stock, sampling",
        "peak GB",
        "mean, largest difference",
    ]
    return _table(heads, rows)


def _stock_of(run: Run, runs: Sequence[Run]) -> Run | None:
    return next((other for other in runs if other["preset"] == run["preset"] and other["option"] == STOCK), None)


def _total(run: Run) -> float:
    return _median(job["total"] for job in run["warm"])


def _sampling(run: Run) -> float:
    return _median(sum(job["stages"].get(name, 0.0) for name in ("sample", "upscale")) for job in run["warm"])


def _median(values: Any) -> float:
    found = list(values)
    return statistics.median(found) if found else float("nan")


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("figures", type=Path, help="what bench.gpu wrote")
    print(render(json.loads(parser.parse_args().figures.read_text())))


if __name__ == "__main__":
    main()
