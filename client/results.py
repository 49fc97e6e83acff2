"""The worker's answer: is it whole, its files on disk, and what there is to say about it."""

import base64
import binascii
import contextlib
import json
import mimetypes
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from client.errors import RunError, one_line

Answer = dict[str, Any]


@dataclass
class SavedFiles:
    """Where one job's files are."""

    folder: Path
    videos: list[Path] = field(default_factory=list)
    frames: list[Path] = field(default_factory=list)


def read_answer(output: object) -> Answer:
    """The worker's answer, once it is one with files; raises RunError for an error, and for an answer that got lost."""
    if isinstance(output, dict) and output.get("error"):
        raise RunError(f"the worker answers: {describe_error(output)}")
    if not isinstance(output, dict) or "outputs" not in output:
        raise RunError(
            "COMPLETED without output: RunPod drops a reply over 10 MB (/run) or 20 MB (/runsync) silently; "
            "ask for fewer frames, --output video or --frame-format jpeg, or see the worker's log"
        )
    if not output["outputs"]:
        raise RunError("the answer has no outputs: the workflow saved nothing; see the worker's log")
    return output


def describe_error(reply: Mapping[str, Any]) -> str:
    """The error's own words; the SDK wraps an exception that escaped the handler in JSON text with a traceback."""
    error = reply.get("error")
    if error is None and isinstance(reply.get("output"), dict):
        error = reply["output"].get("error")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        error = json.loads(error)["error_message"] if isinstance(error, str) else error
    return str(error or "no error text; see the worker's log")


def job_folder(job_id: str, out: Path) -> Path:
    """Where the files of one job belong."""
    return out / re.sub(r"[^\w.-]", "_", job_id)


def make_folder(path: Path) -> Path:
    """`path`, which exists from now on."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}; choose another --out") from error
    return path


def check_writable(out: Path) -> None:
    """Raise RunError where files cannot be made in `out`, which exists from now on: before a job is paid for."""
    make_folder(out)
    try:
        with tempfile.TemporaryFile(dir=out) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror}; choose another --out") from error


def save_files(job_id: str, answer: Answer, out: Path) -> SavedFiles:
    """Write clip.*, frame_0001.* ... and answer.json (the answer without data) to `out`/`job_id`."""
    saved = SavedFiles(job_folder(job_id, out))
    make_folder(saved.folder)
    try:
        entries = [_save_entry(_with_data(entry, answer), saved) for entry in answer["outputs"]]
        record = {**answer, "outputs": entries}
        record.pop("images", None)
        record.pop("video_url", None)
        _write(saved.folder / "answer.json", (json.dumps(record, indent=2) + "\n").encode())
    except OSError as error:
        raise RunError(f"cannot write to {saved.folder}: {error.strerror}; choose another --out") from error
    return saved


def check_frames(answer: Answer, saved: SavedFiles, asked: int | None, output: str | None) -> None:
    """Raise RunError where fewer frames came back than were asked for."""
    wanted = asked or answer.get("num_frames") or 1
    got = answer.get("num_frames") if output == "video" else len(saved.frames)
    if not isinstance(got, int) or got < wanted:
        because = "; ".join(map(str, answer.get("warnings") or ["the answer does not say why"]))
        raise RunError(f"{got or 0} of {wanted} frames came back ({because}); they are in {saved.folder}")


def describe(reply: Mapping[str, Any], answer: Answer, saved: SavedFiles) -> Iterator[str]:
    """Lines for people: the files, the clip's measures, the timings, and each warning."""
    yield from map(str, saved.videos)
    if saved.frames:
        yield str(saved.frames[0]) + (f" to {saved.frames[-1].name}" if len(saved.frames) > 1 else "")
    width, height, frames, fps, seed = (answer.get(key) for key in ("width", "height", "num_frames", "fps", "seed"))
    speed = f"{fps:g}" if isinstance(fps, (int, float)) else fps
    yield f"{width}x{height}, {frames} frames, {speed} fps, seed {seed}"
    timings = {**_platform_timings(reply), **(answer.get("timings") or {})}
    yield "seconds: " + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in timings.items())
    for warning in answer.get("warnings") or []:
        yield f"warning: {one_line(str(warning))}"


def _with_data(entry: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    """The entry with its data, which the answer has in one place only."""
    if entry.get("encoding") == "video_url":
        return {**entry, "encoding": "base64", "data": str(answer.get("video_url")).partition(",")[2]}
    if entry.get("encoding") == "images":
        images = {image.get("filename"): image.get("data") for image in answer.get("images") or ()}
        return {**entry, "encoding": "base64", "data": images.get(entry.get("filename"))}
    return entry


def _save_entry(entry: Mapping[str, Any], saved: SavedFiles) -> dict[str, Any]:
    paths, stem = (saved.videos, "clip") if entry.get("type") == "video" else (saved.frames, "frame")
    number = len(paths) + 1
    name = stem if (stem, number) == ("clip", 1) else f"{stem}_{number:04d}"
    if entry.get("encoding") == "volume":  # out of this machine's reach: told, not fetched
        paths.append(Path(str(entry.get("path"))))
        return dict(entry)
    path = saved.folder / (name + _extension(entry))
    _write(path, _content(entry))
    paths.append(path)
    return {**{key: value for key, value in entry.items() if key != "data"}, "file": path.name}


def _write(path: Path, data: bytes) -> None:
    """The whole file or none."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _content(entry: Mapping[str, Any]) -> bytes:
    name, encoding = entry.get("filename"), entry.get("encoding")
    if encoding == "url":
        return _download(str(name), str(entry.get("data")))
    if encoding == "text":
        return str(entry.get("data")).encode()
    if encoding != "base64":
        raise RunError(f"output {name} is encoded as {encoding!r}: this program knows base64, url and volume")
    try:
        return base64.b64decode(entry["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise RunError(f"output {name} is damaged: its data is not base64; run the job again") from error


def _download(name: str, url: str) -> bytes:
    """The file behind a presigned URL, which no message repeats: it opens the bucket."""
    try:
        response = requests.get(url, timeout=(10, 300))
    except requests.RequestException as error:
        raise RunError(f"output {name} cannot be fetched from its bucket: {type(error).__name__}") from None
    if not response.ok:
        raise RunError(f"output {name}: its bucket returned HTTP {response.status_code}; the URL may have expired")
    return response.content


def _extension(entry: Mapping[str, Any]) -> str:
    suffix = Path(str(entry.get("filename", ""))).suffix
    if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", suffix):
        return suffix
    return mimetypes.guess_extension(str(entry.get("mime_type"))) or ".bin"


def _platform_timings(reply: Mapping[str, Any]) -> dict[str, float]:
    names = {"delayTime": "in queue", "executionTime": "on the worker"}
    return {name: reply[key] / 1000 for key, name in names.items() if isinstance(reply.get(key), (int, float))}
