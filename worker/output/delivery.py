"""How finished files reach the caller: by a bucket, in the reply, or on the network volume, and what if one fails."""

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker import logs
from worker.config import BUCKET_KEYS, MB, Settings
from worker.errors import JobCancelled, OutputFailed, WorkerError
from worker.input import faults, s3_config
from worker.input.request import Request
from worker.output import reply, volume
from worker.output.file import Item, OutputFile
from worker.output.reply import Place, Terms

log = logging.getLogger(__name__)

RUN_LIMIT, RUNSYNC_LIMIT = 10 * MB, 20 * MB
MARGIN = 0.01  # of the limit, left free: what the platform counts beside the body is not known
WAYS = ("bucket", "inline", "volume")
_FOLDER = "outputs"  # on the volume
_TOLD = {"bucket": "the bucket", "inline": "the reply", "volume": "the network volume"}
_MISSING = {
    "bucket": f"send s3Config beside input, or set {', '.join(BUCKET_KEYS)} on the endpoint",
    "volume": "this worker can write to none: attach a network volume to the endpoint",
}


class Delivery:
    """The ways that are open to one job, in the order in which they are tried."""

    def __init__(
        self,
        job: Mapping[str, Any],
        request: Request,
        settings: Settings,
        cancelled: threading.Event,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """The request's way first; `auto`: the bucket if there is one, else the reply, which worker-comfyui does too.

        A bucket of the job's own (`s3Config`) goes before the worker's. Raises InvalidInput where there is no such way,
        before any work is done, and what `check` raises.
        """
        self._settings, self._cancelled = settings, cancelled
        # The job's id, as the name of a folder: a bucket's, the volume's, or that of files nobody could deliver.
        self.name = re.sub(r"[^A-Za-z0-9_-]", "_", str(job.get("id")))[:128]
        custom = request.workflow is not None
        self._terms = Terms(
            request.output,
            frame_format="original" if custom and request.frame_format == "auto" else request.frame_format,
            limit=_reply_limit(self.name, settings),
            images_list=custom,
        )
        self._bucket = s3_config.parse(job.get("s3Config"), settings, check) or settings.bucket
        usable = {"bucket": self._bucket is not None, "inline": True, "volume": volume.is_writable(settings.volume)}
        first = request.delivery if request.delivery != "auto" else next(way for way in WAYS if usable[way])
        if not usable[first]:
            raise faults.invalid_input({"delivery": f"{first} is not available: {_MISSING[first]}"})
        self.ways = (first, *(way for way in WAYS if way != first and usable[way]))

    def send(self, files: Sequence[OutputFile], answer: dict[str, Any]) -> dict[str, Any]:
        """Complete `answer`, which has `warnings`, with the files.

        A way that fails is told in `warnings`, and the next is tried; raises OutputFailed when all of them failed.
        """
        failed: dict[str, OutputFailed] = {}
        for way in self.ways:
            told = [f"{_TOLD[other]} failed: {error.message}" for other, error in failed.items()]
            warnings = [*answer["warnings"], *(f"{text}; the files are in {_TOLD[way]}" for text in told)]
            try:
                return self._try(way, files, {**answer, "warnings": warnings})
            except OutputFailed as error:
                if self._cancelled.is_set():
                    raise JobCancelled("the platform cancelled the job") from error
                log.warning("delivery by %s failed: %s", way, error.message)
                failed[way] = error
        raise _all_failed(failed)

    def _try(self, way: str, files: Sequence[OutputFile], answer: dict[str, Any]) -> dict[str, Any]:
        """As `_send`, whatever goes wrong in it: a fault of one way must not keep the clip from the next."""
        try:
            return self._send(way, files, answer)
        except WorkerError:
            raise
        except Exception as error:
            log.error("delivery by %s: %s", way, logs.brief(error))
            raise OutputFailed(f"an internal error: {type(error).__name__}") from error

    def _send(self, way: str, files: Sequence[OutputFile], answer: dict[str, Any]) -> dict[str, Any]:
        if way == "inline":
            return reply.deliver(files, answer, self._terms)
        return reply.refer(files, answer, self._terms, self._upload if way == "bucket" else self._keep)

    def _upload(self, files: Sequence[OutputFile]) -> list[Place]:
        from worker.output import storage  # many workers have no bucket

        assert self._bucket
        items = [Item(f"{self.name}/{file.filename}", file.data, file.mime_type) for file in files]
        return [Place(url=url) for url in storage.upload(self._bucket, items, self._cancelled)]

    def _keep(self, files: Sequence[OutputFile]) -> list[Place]:
        root = self._settings.volume
        paths = volume.keep(root / _FOLDER, self.name, {file.filename: file.data for file in files})
        return [Place(path=str(path), s3=self._s3(path.relative_to(root).as_posix())) for path in paths]

    def _s3(self, key: str) -> dict[str, str] | None:
        """Where RunPod's S3 API shows a file of the volume. https://docs.runpod.io/storage/s3-api"""
        bucket, datacenter = self._settings.volume_id, self._settings.datacenter
        if not (bucket and datacenter):
            return None
        endpoint = f"https://s3api-{datacenter.lower()}.runpod.io"
        return {"endpoint_url": endpoint, "region": datacenter, "bucket": bucket, "key": key}


def _reply_limit(job_id: str, settings: Settings) -> int:
    """Bytes of the reply: the platform loses a longer one. The ids of /runsync jobs begin with `sync-`."""
    limit = settings.reply_limit or (RUNSYNC_LIMIT if job_id.startswith("sync-") else RUN_LIMIT)
    return int(limit * (1 - MARGIN))


def _all_failed(failed: Mapping[str, OutputFailed]) -> OutputFailed:
    if len(failed) == 1:
        return next(iter(failed.values()))
    details = {name: value for error in failed.values() for name, value in error.details.items()}
    return OutputFailed("; ".join(f"{_TOLD[way]} failed: {error.message}" for way, error in failed.items()), **details)
