"""The table of bench/gpu.py's results, in Markdown: `python -m bench.gpu_report gpu.json`."""

import argparse
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import roofline
from bench.stages import SAMPLERS

ATTENTION = re.compile("attention|attn|fmha|flash|sdpa|cudnn.*(sm90|sm100)", re.IGNORECASE)
COLOR = re.compile("\x1b\\[[0-9;]*m")
PARTS = {
    "encode": ("vision", "text", "encode"),
    "sample": ("sample", "upscale"),
    "decode": ("decode",),
    "save": ("save",),
}
Row = Mapping[str, Any]


def render(results: Mapping[str, Any]) -> str:
    """The machine, the table, and what failed."""
    good = [row for row in results["rows"] if "error" not in row]
    facts = {**results["machine"], "weights": results["weights"], "peak, TFLOP/s": results["peak"] or "not known"}
    parts = [_table(["", ""], [[name.replace("_", " "), str(value)] for name, value in facts.items()])]
    parts.append(f"```bash\n{results['command']}\n```")
    if good:
        rows = [_cells(row, _base(row, good), results["peak"]) for row in good]
        parts.append(_table(list(rows[0]), [list(cells.values()) for cells in rows]))
    parts.append("\n".join(_faults(results["rows"])))
    return "\n\n".join(part for part in parts if part)


def _base(row: Row, rows: Sequence[Row]) -> Row:
    """What a row is compared with: the first of its stage."""
    return next(other for other in rows if other["stage"] == row["stage"])


def _cells(row: Row, base: Row, peak: float | None) -> dict[str, str]:
    cells = {
        "stage": f"{row['stage']}: {row['name']}",
        "clip": f"{'x'.join(map(str, row['clip_size']))}, {row['frames']} frames, {row['steps']} steps",
        "first s": _seconds(row["first"]["total"]),
        "warm s": _seconds(_total(row)),
        "x first of stage": "" if row is base else f"{_total(base) / _total(row):.2f}",
    }
    cells |= {f"{name} s": _seconds(_part(row, name)) for name in PARTS}
    each = {title: _median(_each(row, title)) for title in SAMPLERS if _each(row, title)}
    cells["s per step"] = " + ".join(map(_seconds, each.values()))
    cells["% of limit"] = " + ".join(f"{_share(row, title, spent, peak):.0%}" for title, spent in each.items() if peak)
    cells["attention kernel, share of a step"] = _kernel(row["profile"])
    cells["peak GB"] = f"{row['peaks']['all'] / 1000:.1f}"
    cells["decode GB"] = f"{row['peaks'].get('decode', 0) / 1000:.1f}"
    cells["idle between s"] = _seconds(row["between"]["gpu_idle"]) if "between" in row else ""
    difference = row.get("difference")
    cells["frames differ, mean, largest"] = (
        f"{difference['mean_difference']:.2f}, {difference['largest_difference']:.0f}" if difference else ""
    )
    projected = _total(row) + (row["preset_steps"] - row["steps"]) * each.get("Sample", float("nan"))
    cells["s at the preset's steps"] = _seconds(projected)
    return cells


def _each(row: Row, title: str) -> list[float]:
    found = [job["steps"][title]["each"] for job in row["warm"] if title in job["steps"]]
    return [seconds for seconds in found if seconds]


def _share(row: Row, title: str, seconds: float, peak: float | None) -> float:
    """Of the card's limit: the arithmetic's least seconds by those taken."""
    width, height = row["size"] if title == "Sample" else row["clip_size"]
    work = row["forwards"] * roofline.step_flop(width, height, row["frames"])
    return float(work / (seconds * (peak or 1) * 1e12))


def _kernel(profile: Mapping[str, Any]) -> str:
    """The kernel that attention took most of its time in."""
    found = {name: spent for name, spent in profile["kernels"].items() if ATTENTION.search(name)}
    if not found:
        return "none of one piece" if any("softmax" in name for name in profile["kernels"]) else "not in the profile"
    name = max(found, key=lambda name: found[name])
    short = re.sub(r"^void |[<(].*", "", name)
    return f"{short[:60]}, {found[name] / profile['seconds']:.0%}"


def _part(row: Row, name: str) -> float:
    return _median(sum(job["stages"].get(stage, 0.0) for stage in PARTS[name]) for job in row["warm"])


def _total(row: Row) -> float:
    return _median(job["total"] for job in row["warm"])


def _faults(rows: Sequence[Row]) -> Iterable[str]:
    """What failed, and what gave frames of one color, as broken values do."""
    for row in rows:
        if "error" in row:
            last = " ".join(COLOR.sub("", str(row["error"])).split("\n")[-2:])
            yield f"- {row['stage']}: {row['name']} failed: {last}"
        elif row.get("difference", {}).get("deviation", 1) < 1:
            yield f"- {row['stage']}: {row['name']} gave frames of one color: its figures do not count"


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else float("nan")


def _seconds(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows)])


def main() -> None:
    """Print the table again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("results", type=Path, help="the file that bench/gpu.py wrote")
    print(render(json.loads(parser.parse_args().results.read_text())))


if __name__ == "__main__":
    main()
