"""The measurements of bench/gpu.py, in the order of worth, and how each is taken."""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import gpu_report, pictures, real_comfyui, roofline, stages, weights
from bench.jobs import Jobs
from bench.real_comfyui import MemoryLog, Running
from worker import catalogue
from worker.catalogue import PRESETS
from worker.comfyui import ComfyUI
from worker.graph import ATTENTION_SETTER, COMFYUIS_ATTENTION

SIZES = {"480p": (848, 480), "720p": (1280, 720)}
TINY = (96, 64)
SHORT = 3  # steps where only the seconds of one matter; the first one loads the model


@dataclass(frozen=True)
class Start:
    """How ComfyUI is started. Measurements in a row with the same one share a ComfyUI."""

    args: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    from_disk: bool = False
    """Nothing of the models is in memory."""


@dataclass(frozen=True)
class Measurement:
    """Jobs with the same fields: a first one, warm ones."""

    stage: str
    name: str
    fields: Mapping[str, Any]
    start: Start = Start()
    attention: str | None = None
    """as in the node SetAttention; None: what the worker chooses"""
    options: tuple[str, ...] = ()
    """of GRAPH_OPTIONS"""
    frame_saver: bool = True
    """Frames are saved by the worker's own node, not by SaveImage."""
    compared: bool = False
    """The frames are compared with those of the stage's first measurement."""
    paired: bool = False
    """Two more jobs are queued together."""

    @property
    def preset(self) -> str:
        """The preset whose model samples."""
        return str(self.fields["preset"])


ATTENTION = {
    "TORCH_CUDNN_SDPA_PREFERRED=0": Start(variables={"TORCH_CUDNN_SDPA_PREFERRED": "0"}),
    "comfy-kitchen int8": Start(("--use-ck-attention",)),
    "FlashAttention's package": Start(("--use-flash-attention",)),
    "SageAttention": Start(("--use-sage-attention",)),
}


def plan(frames: int, tiny: bool) -> Iterator[Measurement]:
    """Every measurement; those that matter most come first."""

    def job(preset: str, resolution: str, steps: int, **fields: Any) -> dict[str, Any]:
        width, height = TINY if tiny else SIZES[resolution]
        return {"preset": preset, "width": width, "height": height, "num_frames": frames, "steps": steps, **fields}

    video = {"output": "video"}
    yield Measurement("480p", "fast, 12 steps", job("fast", "480p", 12, **video))
    yield Measurement("720p", f"balanced, {SHORT} steps", job("balanced", "720p", SHORT, **video))
    few = job("fast", "480p", SHORT, **video)
    for name in (COMFYUIS_ATTENTION, "cudnn"):
        yield Measurement("attention", f"{name}, by SetAttention", few, attention=name, compared=True)
    for name, start in ATTENTION.items():
        yield Measurement("attention", name, few, start, attention=COMFYUIS_ATTENTION, compared=True)
    for name, options in {"plain": (), "tiled": ("tiled_decode",)}.items():
        yield Measurement("decode", name, job("balanced", "720p", 1, **video), options=options, compared=True)
    yield Measurement("idle", "two jobs queued", job("fast", "480p", SHORT, **video), paired=True)
    yield Measurement("loads", "from the disk", job("fast", "480p", 2, **video), Start(from_disk=True))
    for preset in PRESETS:
        resolution = PRESETS[preset].resolution or "720p"
        yield Measurement("presets", preset, job(preset, resolution, min(SHORT, PRESETS[preset].steps)))
    yield Measurement("presets", "balanced, 1080p", job("balanced", "720p", SHORT, upscale="1080p"))
    yield Measurement("presets", "fast, interpolated", job("fast", "480p", SHORT, interpolate=2))
    yield Measurement("peers", "stock template: guidance 6", job("balanced", "720p", SHORT, cfg=6.0, **video))
    yield Measurement(
        "peers", "reference: frames by SaveImage", job("balanced", "720p", SHORT, frame_format="png"), frame_saver=False
    )


def run(options: argparse.Namespace, folder: Path) -> int:
    """Take the measurements; each is in the files of --out at once. Returns the exit status: 1 where one failed."""
    real_comfyui.leave_on_sigterm()
    session = Session(options, folder)
    chosen = list(plan(options.frames or (5 if options.tiny else 121), options.tiny))
    if options.stages:
        wanted, known = options.stages.split(","), dict.fromkeys(one.stage for one in chosen)
        if unknown := set(wanted) - set(known):
            sys.exit(f"--stages: {', '.join(unknown)}: must be of {', '.join(known)}")
        chosen = [one for one in chosen if one.stage in wanted]
    with session:
        for measurement in chosen:
            print(f"{measurement.stage}: {measurement.name} ...", file=sys.stderr, flush=True)
            session.take(measurement)
    print(gpu_report.render(session.results))
    return int(any("error" in row for row in session.results["rows"]))


class Session:
    """A run: the ComfyUI that is up, and the results so far; a context manager."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._installation = real_comfyui.read_installation(options)
        self._has_gpu = "--cpu" not in self._installation.args and bool(real_comfyui.describe_gpu())
        self._models = options.models or folder / ("weights-tiny" if options.tiny else "weights-full")
        self._start: Start | None = None
        self._stack = ExitStack()
        self._running: Running | None = None
        self._log: MemoryLog | None = None
        self._frames: dict[str, list[bytes]] = {}
        self._attention = COMFYUIS_ATTENTION
        gpu = real_comfyui.describe_gpu() if self._has_gpu else {}
        self.results: dict[str, Any] = {
            "machine": {"system": platform.platform(), "cores": os.cpu_count(), **gpu},
            "weights": "given" if options.models else "random, tiny" if options.tiny else "random, of published sizes",
            "command": shlex.join(["python", "-m", "bench.gpu", *without_paths(sys.argv[1:])]),
            "peak": options.peak or roofline.find_peak(gpu.get("gpu", "")),
            "rows": [],
        }

    def __enter__(self) -> "Session":
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, measurement: Measurement) -> None:
        """Take one; what goes wrong is a result too."""
        facts = {"stage": measurement.stage, "name": measurement.name}
        try:
            self._bring_models(measurement)
            row = self._measure(measurement)
        except Exception as error:  # noqa: BLE001 (whatever it is, the measurements after it count)
            row = {"error": str(error) or type(error).__name__}
            self._stop()
        self.results["rows"].append(facts | row)
        self._write()

    def _write(self) -> None:
        """Each file is whole at any moment."""
        for end, text in {".json": json.dumps(self.results, indent=1), ".md": gpu_report.render(self.results)}.items():
            part = self._options.out.with_name(self._options.out.name + end + ".part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(part.with_suffix(""))

    def _bring_models(self, measurement: Measurement) -> None:
        sets = [catalogue.sets_with(name)[0] for name in PRESETS[measurement.preset].models]
        sets += ["upscale"] if measurement.fields.get("upscale") else []
        sets += ["smooth"] if measurement.fields.get("interpolate") else []
        if not self._options.models:
            weights.write_all(self._models, "tiny" if self._options.tiny else "full", sets)

    def _measure(self, measurement: Measurement) -> dict[str, Any]:
        running, log = self._comfyui(measurement.start)
        chosen = measurement.attention or self._attention
        jobs = Jobs(running, measurement.fields, measurement.options, chosen, measurement.frame_saver)
        begun = len(log.samples)
        running.profile.unlink(missing_ok=True)
        Path(f"{running.profile}.wanted").touch()
        first = jobs.run(0)
        warm = [jobs.run(number) for number in range(1, self._options.rounds + 1)]
        row: dict[str, Any] = {
            "size": first.form.sampled,
            "clip_size": first.form.size,
            "frames": first.form.length,
            "steps": first.wanted.steps,
            "preset_steps": PRESETS[measurement.preset].steps,
            "forwards": 1 if first.wanted.cfg == 1 else 2,
            "first": asdict(stages.times(first.recording)),
            "warm": [asdict(stages.times(job.recording)) for job in warm],
            "peaks": stages.peaks([span for job in warm for span in job.recording.spans()], list(log.samples[begun:])),
            "profile": json.loads(running.profile.read_text()),
            "boot": running.boot_seconds,
        }
        if measurement.compared:
            frames = jobs.run(self._options.rounds, output="frames", frame_format="png").frames
            row["difference"] = pictures.compare(self._frames.setdefault(measurement.stage, list(frames)), frames)
        if measurement.paired:
            pair = jobs.run_together(self._options.rounds + 1, self._options.rounds + 2)
            row["between"] = stages.between(*(job.recording for job in pair))
        return row

    def _comfyui(self, start: Start) -> tuple[Running, MemoryLog]:
        """The ComfyUI started so: the one that is up, or another."""
        if self._start == start and self._running and self._log:
            return self._running, self._log
        self._stop()
        if start.from_disk:
            _forget(self._models)
        base = Path(tempfile.mkdtemp(prefix="base-", dir=self._folder))
        self._stack.callback(shutil.rmtree, base, ignore_errors=True)
        real_comfyui.make_base(base, self._models, tiny=self._options.tiny)
        self._running = self._stack.enter_context(
            real_comfyui.run(self._installation, base, start.args, variables=start.variables)
        )
        self._log = self._stack.enter_context(MemoryLog(self._running.pid, self._has_gpu))
        self._start = start
        client = ComfyUI(self._running.url)
        stats = client.stats()
        self._attention = client.default_of(ATTENTION_SETTER, "attention") or COMFYUIS_ATTENTION
        names = {"comfyui": "comfyui_version", "torch": "pytorch_version"}
        self.results["machine"] |= {name: stats[key] for name, key in names.items()}
        return self._running, self._log

    def _stop(self) -> None:
        self._stack.close()
        self._start = self._running = self._log = None


def _forget(models: Path) -> None:
    """Have the kernel drop what it keeps of the files in memory."""
    for path in models.rglob("*.safetensors"):
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def without_paths(arguments: list[str]) -> list[str]:
    """The command line, without where things lie on this machine."""
    return [re.sub(r"^(--[a-z-]+=)?.*/.*", r"\1...", word) for word in arguments if word != "--no-wheels"]
