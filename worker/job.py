"""One job, from its input to the answer: synchronous, in the caller's thread."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from worker import fit, image, request, startup, video, workflow
from worker.comfyui import (
    ComfyUI,
    Event,
    Events,
    Limits,
    Prompt,
    SavedFile,
    clear,
    follow,
    read_last_lines,
    read_saved,
    set_aside,
    stop,
)
from worker.config import MB, Settings
from worker.delivery import Delivery
from worker.errors import (
    ComfyUIUnavailable,
    JobCancelled,
    OutOfMemory,
    OutputFailed,
    WorkerError,
    WorkflowRejected,
)
from worker.models import missing
from worker.output_file import OutputFile
from worker.progress import Progress
from worker.request import Request
from worker.workflow import Graph

log = logging.getLogger(__name__)

RUN_LIMIT, RUNSYNC_LIMIT = 10 * MB, 20 * MB
LAST_EVENTS = 0.05  # seconds without an event until a prompt that is stopped has told all
MARGIN = 0.01  # of the limit, left free: what the platform counts beside the body is not known


def run(
    job: Mapping[str, Any], settings: Settings, report: Callable[[dict[str, Any]], None], cancelled: threading.Event
) -> dict[str, Any]:
    """Run RunPod's `job` ({"id", "input"}) and return the answer; raises WorkerError.

    `report` takes each progress as it comes. The job ends soon after `cancelled` is set. However it ends, ComfyUI's
    queue and folders are free of it afterwards.
    """
    comfyui = ComfyUI(settings.comfyui_url)
    run_of_job = _Run(comfyui, settings, report, cancelled)
    try:
        return run_of_job.answer(job)
    except ComfyUIUnavailable as error:
        if settings.comfyui_log and (lines := read_last_lines(settings.comfyui_log)):
            error.details["comfyui_log"] = lines
            log.warning("ComfyUI's last lines:\n%s", "\n".join(lines))
        raise
    finally:
        comfyui.close()
        if settings.comfyui_dir:
            clear(settings.comfyui_dir, run_of_job.scope, run_of_job.saved)


class _Run:
    """What one job holds while it runs."""

    def __init__(
        self,
        comfyui: ComfyUI,
        settings: Settings,
        report: Callable[[dict[str, Any]], None],
        cancelled: threading.Event,
    ) -> None:
        self._comfyui, self._settings, self._report = comfyui, settings, report
        self._limits = Limits(time.monotonic() + settings.job_timeout, settings.stall_timeout, cancelled)
        self.scope = f"job-{uuid.uuid4().hex}"
        self.saved: tuple[SavedFile, ...] = ()
        self._timings: dict[str, float] = {}
        self._warnings: list[str] = []

    def answer(self, job: Mapping[str, Any]) -> dict[str, Any]:
        with self._timed("total"):
            with self._timed("prepare"):
                wanted = request.parse(job.get("input"), self._settings)
                delivery = Delivery(wanted.delivery, job, self._settings, self._limits.cancelled)
                stats = self._look_at_comfyui()
                graph, facts = self._prepare(wanted, stats)
            prompt = Prompt(str(uuid.uuid4()), graph)
            with self._timed("execution"):
                self.saved = self._execute(prompt, facts)
            answer = {"status": "success", "prompt_id": prompt.id, **facts}
            try:
                answer = self._finish(wanted, graph, answer, delivery)
            except Exception as error:
                self._save_files(delivery.name, error)
                raise
        return {**answer, "timings": self._timings}

    def _look_at_comfyui(self) -> Mapping[str, Any]:
        stats = startup.wait_for_comfyui(self._comfyui, self._settings.boot_timeout, self._limits.cancelled)
        if stand_in := stats.get("stand_in"):
            self._warnings.append(f"this was not made by HunyuanVideo: {stand_in}")
        return stats

    def _prepare(self, wanted: Request, stats: Mapping[str, Any]) -> tuple[Graph, dict[str, Any]]:
        """The graph to queue, its pictures uploaded, and what the answer tells of the clip."""
        if wanted.workflow is not None:
            return self._prepare_callers_graph(wanted, wanted.workflow), {}
        ((field, source),) = wanted.pictures
        picture = self._load(source, field, as_sent=False)
        width, height = wanted.size(picture.width, picture.height)
        clip = wanted.clip_size(width, height)
        if limits := self._settings.clip_limits:
            fit.check(*clip, wanted.num_frames, stats["devices"][0]["vram_total"], limits)
        if warning := wanted.crop_warning(picture.width, picture.height):
            self._warnings.append(warning)
        if wanted.fit == "pad":
            picture = image.letterbox(picture, *clip)
        graph = workflow.fill(
            wanted,
            image_name=self._upload(picture, "image"),
            width=width,
            height=height,
            prefix=self.scope,
            frame_saver=wanted.output != "video" and self._comfyui.has_node(workflow.FRAME_SAVER),
            options=self._settings.graph_options,
        )
        facts = {"width": clip[0], "height": clip[1], "num_frames": wanted.num_frames, "fps": wanted.fps}
        used = wanted.used() | {"options": list(self._settings.graph_options)}
        return graph, {"seed": wanted.seed, **facts, "settings": used}

    def _prepare_callers_graph(self, wanted: Request, graph: dict[str, Any]) -> Graph:
        pictures = [self._load(source, field, as_sent=True) for field, source in wanted.pictures]
        names = [self._upload(picture, f"image_{number}") for number, picture in enumerate(pictures)]
        start = names.pop(0) if wanted.picture else None
        adapted = workflow.adapt(
            graph,
            uploads={entry.name: name for entry, name in zip(wanted.images, names, strict=True)},
            image_name=start,
            prefix=self.scope,
            allow=self._settings.nodes_allow,
            deny=self._settings.nodes_deny,
        )
        self._warnings += adapted.warnings
        return adapted

    def _load(self, source: str, field: str, as_sent: bool) -> image.Image:
        self._limits.check_cancelled()
        return image.load(source, field, self._settings, as_sent=as_sent, check=self._limits.check_cancelled)

    def _upload(self, picture: image.Image, stem: str) -> str:
        self._limits.check_cancelled()
        self._warnings += picture.warnings
        return self._comfyui.upload(picture.data, stem + picture.suffix, self.scope)

    def _execute(self, prompt: Prompt, facts: dict[str, Any]) -> tuple[SavedFile, ...]:
        """Run the prompt to its end; if it must be given up, ComfyUI is idle again afterwards."""
        progress = Progress(prompt.graph)
        client_id = uuid.uuid4().hex
        with Events(self._comfyui.url, client_id) as events:
            try:
                self._queue(prompt, client_id, own=bool(facts))
                log.info("queued as prompt %s: %d nodes", prompt.id, len(prompt.graph.nodes))
                return follow(self._comfyui, events, prompt, self._limits, lambda event: self._note(event, progress))
            except BaseException as error:
                stopped = stop(self._comfyui, prompt.id, self._settings.stop_timeout)
                while stopped and (event := events.next(prompt.id, LAST_EVENTS)):
                    self.saved += event.files  # for their removal: history has no files of a prompt that failed
                if isinstance(error, OutOfMemory):
                    raise self._make_room(error, facts) from error
                if isinstance(error, WorkerError) and not stopped:
                    error.details["refresh_worker"] = True  # the SDK's word for: replace this worker
                raise

    def _queue(self, prompt: Prompt, client_id: str, own: bool) -> None:
        """Queue the prompt; a refusal of one of the worker's own graphs may be for models that are lacking."""
        try:
            self._comfyui.queue(prompt, client_id)
        except WorkflowRejected as error:
            values = [fault.get("value") for fault in error.details.get("nodes", ())]
            raise (missing.explain(values) if own else None) or error from None

    def _make_room(self, error: OutOfMemory, facts: dict[str, Any]) -> OutOfMemory:
        """Free ComfyUI's memory for the next job; returns the error with what may fit."""
        try:
            self._comfyui.free()
        except ComfyUIUnavailable as fault:
            log.warning("ComfyUI's memory was not freed: %s", fault.message)
        advice = "ask for less"
        if facts and facts["settings"]["upscale"]:
            advice = "leave upscale out"
        elif facts:
            advice = f"a guess at what fits: {fit.suggest(facts['width'], facts['height'], facts['num_frames'])}"
        return OutOfMemory(f"{error.message}; {advice}; or use a GPU with more memory", **error.details)

    def _note(self, event: Event, progress: Progress) -> None:
        self.saved += event.files
        if told := progress.update(event):
            self._report(told)

    def _fetch(self, graph: Graph) -> list[OutputFile]:
        """The files in ComfyUI's output folder, in the order in which they were saved; those in `temp` are previews."""
        saved = [file for file in self.saved if file.folder == "output"]
        if not saved:
            raise OutputFailed("the workflow saved no file in ComfyUI's output folder; add a saver, such as SaveImage")
        frame = 0
        files = []
        for file in saved:
            self._limits.check_cancelled()
            name, quality = PurePosixPath(file.filename), None
            if file.node_id == graph.frames_node:
                frame += 1
                name, quality = PurePosixPath(f"frame_{frame:04d}{name.suffix}"), graph.frame_quality
            elif file.node_id == graph.video_node:
                name = PurePosixPath(f"clip{name.suffix}")
            files.append(OutputFile(name.name, self._read(file), file.animated, quality))
        return files

    def _read(self, file: SavedFile) -> bytes:
        """A saved file from the disk, where no ComfyUI that dies or is busy is in the way, or else over HTTP."""
        home = self._settings.comfyui_dir
        data = read_saved(home, file) if home else None
        return self._comfyui.fetch(file) if data is None else data

    def _finish(self, wanted: Request, graph: Graph, answer: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
        """The answer with the files that the prompt saved, looked at and on their way to the caller."""
        custom = wanted.workflow is not None
        with self._timed("fetch"):
            files = self._fetch(graph)
        with self._timed("check"):
            checked = video.check(files) if custom else video.check(files, wanted.num_frames, wanted.fps)
            self._warnings += checked.warnings
            facts = {} if custom else checked.facts
            frames = sum(file.kind == "image" for file in files)
            if graph.frames_node and frames != wanted.num_frames:
                facts["num_frames"] = frames
                self._warnings.append(f"ComfyUI delivered {frames} frames instead of {wanted.num_frames}")
        with self._timed("deliver"):
            return delivery.send(
                checked.files,
                {**answer, **facts, "warnings": self._warnings},
                output=wanted.output,
                frame_format="original" if custom and wanted.frame_format == "auto" else wanted.frame_format,
                limit=_reply_limit(delivery.name, self._settings),
                images_list=custom,
            )

    def _save_files(self, name: str, error: Exception) -> None:
        """Keep what ComfyUI made, minutes of a GPU's work, where an operator finds it."""
        if isinstance(error, JobCancelled) or not self._settings.comfyui_dir:
            return
        if kept := set_aside(self._settings.comfyui_dir, self.scope, name):
            log.error("the job's files are kept in %s", kept)
            if isinstance(error, WorkerError):
                error.details["recovered"] = str(kept)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Note how many seconds a phase took."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._timings[phase] = round(time.monotonic() - start, 3)


def _reply_limit(job_id: str, settings: Settings) -> int:
    """Bytes of the reply: the platform loses a longer one. The ids of /runsync jobs begin with `sync-`."""
    limit = settings.reply_limit or (RUNSYNC_LIMIT if job_id.startswith("sync-") else RUN_LIMIT)
    return int(limit * (1 - MARGIN))
