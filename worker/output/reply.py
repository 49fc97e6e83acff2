"""What a job saved, as an answer that fits the platform's limit: nothing else tells the caller what is in `outputs`."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.config import MB
from worker.errors import OutputFailed
from worker.output.encoding import encode_all, estimate, stays, total_size
from worker.output.file import OutputFile, name_uniquely
from worker.sdk import encodable
from worker.stills import LADDERS, Encoding

_ESTIMATE_MARGIN = 1.05


@dataclass(frozen=True)
class Terms:
    """What a reply is to hold."""

    output: str
    """ "both", "frames" or "video" """
    frame_format: str
    """The first of the encodings tried: "auto" and "jpeg" are JPEG of quality 95, "webp" is lossy of quality 90, "png"
    and "original" keep every pixel; then JPEG from 95 to 40."""
    limit: int
    """bytes of the reply's JSON"""
    images_list: bool
    """As in worker-comfyui, images are in `images`; otherwise the video is in `video_url`, as for the Vercel AI SDK."""

    @property
    def ladder(self) -> Sequence[Encoding]:
        """The encodings tried, best first."""
        return LADDERS[self.frame_format]


def deliver(files: Sequence[OutputFile], answer: dict[str, Any], terms: Terms) -> dict[str, Any]:
    """Complete `answer`, which has `warnings`, with `outputs` (videos first) so that the reply fits its terms.

    Files that have the format already keep their bytes. Each is in the reply once: the clip's video as a data URI in
    `video_url`, a workflow's images in `images` under their filename; their entries of `outputs` say so under
    "encoding". Every loss is told in `warnings`; raises OutputFailed, with sizes, when nothing fits.
    """
    ordered = sorted(files, key=lambda file: file.kind != "video")
    for chosen, loss in _choose(ordered, terms.output):
        reply = _fit(chosen, answer, loss, terms)
        if reply is not None:
            return reply
    raise _nothing_fits(ordered, terms)


@dataclass(frozen=True)
class Place:
    """Where a file lies outside the reply: behind a URL, or at a path of the volume."""

    url: str = ""
    path: str = ""
    s3: Mapping[str, str] | None = None
    """The same file in RunPod's S3 API: endpoint_url, region, bucket, key."""

    def entry(self) -> dict[str, Any]:
        """What an entry of `outputs` says of it."""
        if self.url:
            return {"encoding": "url", "data": self.url}
        return {"encoding": "volume", "path": self.path, **({"s3": dict(self.s3)} if self.s3 else {})}

    def image(self) -> dict[str, str]:
        """The same for worker-comfyui's `images`."""
        return {"type": "s3_url", "data": self.url} if self.url else {"type": "volume", "data": self.path}


def refer(
    files: Sequence[OutputFile],
    answer: dict[str, Any],
    terms: Terms,
    store: Callable[[list[OutputFile]], list[Place]],
) -> dict[str, Any]:
    """Complete `answer` like `deliver`, but with the places in which `store` puts the files, all in the first encoding.

    `store` gets them with names of their own and raises OutputFailed, as this does where the places do not fit.
    """
    ordered = sorted(files, key=lambda file: file.kind != "video")
    choices = list(_choose(ordered, terms.output))
    if not choices:
        raise _nothing_fits(ordered, terms)
    chosen, loss = choices[0]
    sent = name_uniquely(encode_all(chosen, terms.ladder[0]))
    stored = [file for file in sent if not file.shown]
    placed = list(zip(stored, store(stored), strict=True))
    texts = [_describe(file) | _show(file) for file in sent if file.shown]
    reply = {**answer, "outputs": [*(_describe(file) | place.entry() for file, place in placed), *texts]}
    reply["warnings"] = [*answer["warnings"], *([loss] if loss else [])]
    if terms.images_list:
        pictures = [(file.filename, place) for file, place in placed if file.kind == "image"]
        reply["images"] = [{"filename": filename, **place.image()} for filename, place in pictures]
    elif sent and sent[0].kind == "video" and placed[0][1].url:
        reply["video_url"] = placed[0][1].url
    if (size := _size(reply)) > terms.limit:
        raise OutputFailed(f"the list of {len(sent)} files has {_mb(size)}, and the limit is {_mb(terms.limit)}")
    return reply


def _show(file: OutputFile) -> dict[str, str]:
    """A text stands in the reply itself, wherever files go."""
    return {"encoding": "text", "data": file.data.decode(errors="replace")}


def _describe(file: OutputFile) -> dict[str, Any]:
    """The part of an entry that does not depend on where the data are."""
    entry: dict[str, Any] = {"type": file.kind, "filename": file.filename, "mime_type": file.mime_type}
    known = {"quality": file.quality, "node_id": file.node_id}
    return entry | {name: value for name, value in known.items() if value is not None}


def _choose(files: list[OutputFile], output: str) -> Iterator[tuple[list[OutputFile], str]]:
    """What to send, best first, each with what to tell the caller about it."""
    videos = [file for file in files if file.kind == "video"]
    rest = [file for file in files if file.kind != "video"]
    if not files:
        yield [], ""
    elif output == "video":
        if others := [file for file in files if file.kind != "image"]:
            yield others, ""
    elif output == "both" and videos and rest:
        yield files, ""
        yield videos, f"the {len(rest)} images do not fit the reply at any quality; only the video is sent"
        yield rest, "the video does not fit the reply; only the images are sent"
    else:
        if rest:
            yield rest, ""
        if videos:
            why = f"the {len(rest)} images do not fit the reply at any quality" if rest else "no images were saved"
            yield videos, "" if output == "both" else f"{why}; the video is sent instead"


def _fit(files: list[OutputFile], answer: dict[str, Any], loss: str, terms: Terms) -> dict[str, Any] | None:
    """The reply in the first encoding that fits, or None."""
    ladder = terms.ladder
    as_saved = all(stays(file, ladder[0]) for file in files)
    expected = {} if as_saved else estimate(files, ladder)
    for encoding in ladder:
        first, last = encoding is ladder[0], encoding is ladder[-1]
        if not last and expected.get(encoding, 0) > terms.limit * _ESTIMATE_MARGIN:
            continue
        sent = encode_all(files, encoding, fallback=not first)
        told = [text for text in (loss, "" if first else _tell_quality(files, sent, terms.limit)) if text]
        draft = _Draft(answer, sent, told, images_list=terms.images_list)
        if draft.measure() <= terms.limit:
            return draft.complete()
        if not any(file.still for file in files):
            break
        if first and as_saved:  # until here nothing had to be decoded
            expected = estimate(files, ladder)
    return None


class _Draft:
    """A reply without its data: measured first, and completed only if it fits."""

    def __init__(self, answer: dict[str, Any], files: list[OutputFile], told: list[str], *, images_list: bool) -> None:
        self._reply = {**answer, "outputs": [], "warnings": [*answer["warnings"], *told]}
        if images_list:
            self._reply["images"] = []
        self._slots: list[tuple[bytes, dict[str, Any], str]] = []
        for file in name_uniquely(files):
            entry = _describe(file)
            self._reply["outputs"].append(entry)
            if file.shown:
                entry |= _show(file)
            elif images_list and file.kind == "image":
                entry["encoding"] = "images"
                self._reply["images"].append({"filename": file.filename, "type": "base64", "data": ""})
                self._slots.append((file.data, self._reply["images"][-1], "data"))
            elif file.kind == "video" and not images_list and "video_url" not in self._reply:
                entry["encoding"] = "video_url"
                self._reply["video_url"] = f"data:{file.mime_type};base64,"
                self._slots.append((file.data, self._reply, "video_url"))
            else:
                entry |= {"encoding": "base64", "data": ""}
                self._slots.append((file.data, entry, "data"))

    def measure(self) -> int:
        """The bytes that the SDK would post; base64 text stands in JSON as it is."""
        return _size(self._reply) + sum(4 * ((len(data) + 2) // 3) for data, _, _ in self._slots)

    def complete(self) -> dict[str, Any]:
        """The reply with its data."""
        for data, holder, key in self._slots:
            holder[key] += base64.b64encode(data).decode()
        return self._reply


def _size(reply: dict[str, Any]) -> int:
    """The bytes that the SDK makes of it."""
    return len(json.dumps({"output": encodable(reply)}, ensure_ascii=False).encode())


def _tell_quality(saved: list[OutputFile], sent: list[OutputFile], limit: int) -> str:
    lowered = [file for file in sent if file not in saved]
    if not lowered:
        return ""
    quality = lowered[0].quality
    return f"{len(lowered)} images are JPEG of quality {quality}, without transparency, to fit a reply of {_mb(limit)}"


def _nothing_fits(files: list[OutputFile], terms: Terms) -> OutputFailed:
    videos, images = ([file for file in files if file.kind == kind] for kind in ("video", "image"))
    if terms.output == "video" and files and not videos:
        return OutputFailed(f'no video was saved, only {len(images)} images; ask for output "frames" or "both"')
    return OutputFailed(
        f"the reply may have {_mb(terms.limit)}, and base64 adds a third: {len(videos)} videos have "
        f"{_mb(total_size(videos))}, {len(images)} images {_mb(total_size(images))} as saved. Ask for fewer num_frames "
        "or a smaller width and height, call /runsync (20 MB) instead of /run (10 MB), use a bucket, or raise "
        "REPLY_LIMIT_MB where no platform limits the reply",
        limit_bytes=terms.limit,
        video_bytes=total_size(videos),
        image_bytes=total_size(images),
    )


def _mb(size: int) -> str:
    return f"{size / MB:.2f} MB"
