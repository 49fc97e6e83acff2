"""What a clip costs on this machine, for each preset and option: `python -m bench.gpu --help`.

A real ComfyUI is started for each preset with each option and runs the worker's own graphs, on random weights of the
published sizes or on given ones. Measured are its first job (the models come from the disk or the page cache), jobs
whose prompt, picture and seed are new each time, and two that are queued together. The figures go to a JSON file;
bench/gpu_report.py makes tables of it. docs/PERFORMANCE.md says what the figures mean.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import gpu_report, pictures, real_comfyui, stages, weights
from bench.jobs import Jobs
from bench.real_comfyui import MemoryLog, Running
from worker import catalogue
from worker.catalogue import PRESETS
from worker.comfyui import ComfyUI
from worker.errors import WorkerError
from worker.input.request import CAN_UPSCALE

UPSCALED = "+1080p"
VARIANTS = (*PRESETS, *(name + UPSCALED for name in CAN_UPSCALE))
DEFAULT_VARIANTS = (*PRESETS, CAN_UPSCALE[0] + UPSCALED)


@dataclass(frozen=True)
class Option:
    """Something to switch on."""

    graph: tuple[str, ...] = ()
    """for GRAPH_OPTIONS"""
    args: tuple[str, ...] = ()
    """for COMFYUI_ARGS"""


STOCK = "stock"
OPTIONS = {
    STOCK: Option(),
    "compile": Option(graph=("torch_compile",)),
    "easycache": Option(graph=("easycache",)),
    "tiled": Option(graph=("tiled_decode",)),
    "fast": Option(args=("--fast",)),
    "fp16": Option(args=("--fast", "fp16_accumulation")),
    "autotune": Option(args=("--fast", "autotune")),
    "flash": Option(args=("--use-flash-attention",)),
    "sage": Option(args=("--use-sage-attention",)),
}


def fields_of(variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a job's input."""
    preset, upscale = variant.removesuffix(UPSCALED), variant.endswith(UPSCALED)
    fields: dict[str, Any] = {"preset": preset, "num_frames": options.frames, "upscale": "1080p" if upscale else None}
    if options.size:
        fields |= dict(zip(("width", "height"), options.size, strict=True))
    return fields | ({"steps": options.steps} if options.steps else {})


def sets_of(variants: Sequence[str]) -> list[str]:
    """The model sets that the variants need."""
    sets = [catalogue.sets_with(PRESETS[variant.removesuffix(UPSCALED)].model)[0] for variant in variants]
    return list(dict.fromkeys(sets + ["upscale" for variant in variants if variant.endswith(UPSCALED)]))


def measure(running: Running, log: MemoryLog, jobs: Jobs, rounds: int, reference: list[bytes]) -> dict[str, Any]:
    """The figures of one preset with one option; `reference`, if empty, takes the frames to compare others with."""
    cold = jobs.run(0)
    warm = [jobs.run(number) for number in range(1, rounds + 1)]
    # All but the saving is in ComfyUI's cache: the same clip without a loss.
    exact = jobs.run(rounds, output="frames", frame_format="png")
    first, second = jobs.run_together(rounds + 1, rounds + 2)
    if not reference:
        reference.extend(exact.frames)
    spans = [span for job in (cold, *warm) for span in job.recording.spans()]
    return {
        "size": cold.form.sampled,
        "clip_size": cold.form.size,
        "frames": cold.wanted.num_frames,
        "steps": cold.wanted.steps,
        "boot": running.boot_seconds,
        "cold": asdict(stages.times(cold.recording)),
        "warm": [asdict(stages.times(job.recording)) for job in warm],
        "between": stages.between(first.recording, second.recording),
        "peak_mb": stages.peaks(spans, list(log.samples)),
        "check": pictures.compare(reference, exact.frames),
    }


def run_one(
    variant: str, option: str, options: argparse.Namespace, models: Path, reference: list[bytes]
) -> dict[str, Any]:
    """Start ComfyUI, measure, stop it; a failure is a result too."""
    chosen = OPTIONS[option]
    with tempfile.TemporaryDirectory(prefix="bench-gpu-", dir=options.folder) as name, ExitStack() as stack:
        base = Path(name)
        real_comfyui.make_base(base, models, tiny=options.weights == "tiny")
        try:
            running = stack.enter_context(real_comfyui.run(options.installation, base, chosen.args))
            log = stack.enter_context(MemoryLog(running.pid, options.has_gpu))
            jobs = Jobs(running, fields_of(variant, options), chosen.graph)
            figures = measure(running, log, jobs, options.rounds, reference)
            figures["versions"] = versions(running.url)
        except (WorkerError, RuntimeError) as error:
            figures = {"error": str(error)}
    return {"preset": variant, "option": option, **asdict(chosen), **figures}


def versions(url: str) -> dict[str, str]:
    """Of ComfyUI and what it runs on."""
    stats = ComfyUI(url).stats()
    device = stats["devices"][0]["name"]
    return {"comfyui": stats["comfyui_version"], "torch": stats["pytorch_version"], "device": device}


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The machine, and what was asked of it."""
    gpu = real_comfyui.describe_gpu() if options.has_gpu else {}
    return {
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), **gpu},
        "weights": options.weights,
        "command": command(options),
    }


def command(options: argparse.Namespace) -> str:
    """The command line, without where things lie on this machine."""
    words = ["python", "-m", "bench.gpu", "--comfyui-dir", "DIR", f"--{options.weights}"]
    words += ["MODELS"] if options.weights == "models" else []
    words += ["--presets", ",".join(options.presets), "--options", ",".join(options.options)]
    words += ["--size", "x".join(map(str, options.size))] if options.size else []
    words += ["--frames", str(options.frames), "--rounds", str(options.rounds)]
    words += ["--steps", str(options.steps)] if options.steps else []
    words += [f"--comfyui-args={shlex.join(options.installation.args)}"] if options.installation.args else []
    return shlex.join(words)


def run_all(options: argparse.Namespace, models: Path) -> dict[str, Any]:
    """Every preset with every option; the file is written after each, so that an end halfway loses one at most."""
    results: dict[str, Any] = {**describe(options), "runs": []}
    for variant in options.presets:
        reference: list[bytes] = []
        for option in options.options:
            print(f"{variant}, {option} ...", file=sys.stderr, flush=True)
            results["runs"].append(run_one(variant, option, options, models, reference))
            options.out.write_text(json.dumps(results, indent=1) + "\n")
    return results


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """For argparse: names of `known`, by commas."""

    def parse(text: str) -> list[str]:
        found = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: must be of {', '.join(known)}")
        return found

    return parse


def size(text: str) -> tuple[int, int]:
    """For argparse: WIDTHxHEIGHT."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    real_comfyui.add_arguments(parser)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--full", action="store_true", help="random weights of the published sizes, made first")
    kinds.add_argument("--tiny", action="store_true", help="random weights for a CPU: a trial of this script")
    kinds.add_argument("--models", type=Path, help="a models folder that is there already")
    parser.add_argument("--folder", type=Path, help="where weights and clips go; default: the temporary folder")
    parser.add_argument("--presets", type=names(VARIANTS), default=list(DEFAULT_VARIANTS), help=", ".join(VARIANTS))
    parser.add_argument("--options", type=names(list(OPTIONS)), default=[STOCK], help=", ".join(OPTIONS))
    parser.add_argument("--size", type=size, help="WIDTHxHEIGHT; default: the preset's")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--rounds", type=int, default=3, help="warm jobs; the tables have their median")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="default: %(default)s")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: must be 1 or more")
    options.installation = real_comfyui.read_installation(options)
    options.has_gpu = "--cpu" not in options.installation.args and bool(real_comfyui.describe_gpu())
    options.weights = next(kind for kind in ("full", "tiny", "models") if getattr(options, kind))
    options.options = [STOCK, *(name for name in options.options if name != STOCK)]
    return options


def main() -> None:
    """Make the weights, measure, and say where the figures are."""
    options = read_options()
    real_comfyui.leave_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bench-gpu-models-", dir=options.folder) as name:
        models = options.models or Path(name)
        if not options.models:
            weights.write_all(models, options.weights, sets_of(options.presets))
        results = run_all(options, models)
    print(gpu_report.render(results))
    if failed := [f"{run['preset']}, {run['option']}: {run['error']}" for run in results["runs"] if "error" in run]:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
