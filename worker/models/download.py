"""Download a model file, from the Hugging Face hub or from any URL."""

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from worker.catalogue import ModelFile
from worker.config import ModelSettings
from worker.errors import ModelError
from worker.models.integrity import find_fault
from worker.models.lease import hold
from worker.models.volume import HubPath, parse_hub_url

TRIES = 5
MOST_WAIT = 60  # seconds, whatever a server asks for
TIMEOUT = (10, 60)  # to connect, and between two pieces; seconds
PROBE_TIMEOUT = (5, 20)  # the same, for a first look
PIECE = 128 * 2**10  # what a broken transfer loses at most
_AS_IT_IS = {"Accept-Encoding": "identity"}
log = logging.getLogger("models")


class _Broken(Exception):
    """The transfer broke off; another try, after `wait` seconds, may go on where it stopped."""

    def __init__(self, cause: str, wait: float) -> None:
        super().__init__(cause)
        self.wait = wait


def fetch(model: ModelFile, target: Path, settings: ModelSettings) -> None:
    """Download `model` to `target`, whole and checked, or raise ModelError; other workers wait for it meanwhile."""
    with hold(target.with_name(target.name + ".lease")):
        if find_fault(target, model) is None:
            return
        staging = stage(target)
        staging.mkdir(exist_ok=True)
        file = _fetch_file(model, staging, settings)
        fault = find_fault(file, model) or _find_other_hash(file, model)
        if fault:
            file.unlink()
            raise ModelError(f"what {_host(model.url)} sent {fault}")
        _flush(file)
        file.replace(target)
        shutil.rmtree(staging, ignore_errors=True)


def find_obstacle(model: ModelFile, settings: ModelSettings) -> str | None:
    """Why `model` cannot be downloaded, by the beginning of the answer; None: it can, or might on another try."""
    source = parse_hub_url(model.url, settings.hub)
    url, where = model.url, _host(model.url)
    if source:
        url, where = f"{settings.hub}/{source.repository}/resolve/{source.revision}/{source.path}", settings.hub
    headers = {"Range": "bytes=0-0"}
    if source and settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"
    try:
        with _look(url, headers) as reply:
            return None if _is_passing(reply.status_code) else _explain(where, reply)
    except requests.RequestException as error:
        kind = type(error).__name__
        return f"{where} cannot be reached ({kind}): check the network, or put the file on the volume"


def _look(url: str, headers: Mapping[str, str], tries: int = 2) -> requests.Response:
    """The answer without its content; asked for again here, because urllib3 would log the URL with its secrets."""
    try:
        return requests.get(url, stream=True, timeout=PROBE_TIMEOUT, headers=headers)
    except requests.RequestException:
        if tries == 1:
            raise
        time.sleep(0.5)
        return _look(url, headers, tries - 1)


def stage(target: Path) -> Path:
    """The folder in which a download of `target` grows, on the same file system."""
    return target.with_name(f".{target.name}.part")


def bytes_below(folder: Path) -> int:
    """Bytes in all files below `folder`, while they come and go."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).stat().st_size
    return total


def _fetch_file(model: ModelFile, staging: Path, settings: ModelSettings) -> Path:
    source = parse_hub_url(model.url, settings.hub)
    if source:
        return _fetch_from_hub(source, staging, settings)
    return _fetch_url(model, staging)


def _fetch_from_hub(source: HubPath, staging: Path, settings: ModelSettings) -> Path:
    # 0.3 s that a boot without downloads saves
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    shutil.rmtree(staging, ignore_errors=True)  # it never goes on with what a killed download left
    disable_progress_bars()
    logging.getLogger("huggingface_hub").handlers.clear()  # its lines come by the root's handler already
    try:
        path = hf_hub_download(
            source.repository,
            source.path,
            revision=source.revision,
            local_dir=staging,
            token=settings.token or False,
            endpoint=settings.hub,
        )
    except OSError as error:
        if error.errno:
            raise
        # What the hub's client makes of it speaks of its cache; the cause is the hub's answer, or the network's.
        cause = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
        if isinstance(cause, HfHubHTTPError):
            raise ModelError(_explain(settings.hub, cause.response)) from error
        kind = type(error.__cause__ or error).__name__
        raise ModelError(
            f"{settings.hub} cannot be reached ({kind}): check the network, or put the file on the volume"
        ) from error
    return Path(path)


def _fetch_url(model: ModelFile, staging: Path) -> Path:
    """Download from a plain URL; a broken transfer goes on where it stopped, in this process or a later one."""
    failures = 0
    while True:
        before = bytes_below(staging)
        try:
            return _try_url(model, staging)
        except (_Broken, requests.RequestException) as error:
            failures = 1 if bytes_below(staging) > before else failures + 1
            answer = str(error) if isinstance(error, _Broken) else ""
            if failures == TRIES:
                cause = answer or f"breaks off: {type(error).__name__}"
                raise ModelError(f"{_host(model.url)} {cause}") from error
            log.warning("%s: %s, trying again", model.name, answer or f"broke off ({type(error).__name__})")
            time.sleep((error.wait if isinstance(error, _Broken) else 0) or min(0.5 * 2**failures, 10))


def _try_url(model: ModelFile, staging: Path) -> Path:
    with requests.get(model.url, stream=True, timeout=TIMEOUT, headers=_AS_IT_IS) as reply:
        _check_status(model, reply)
        version = reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
        part = staging / hashlib.sha256(f"{model.url} {version}".encode()).hexdigest()
        done = part.stat().st_size if part.exists() else 0
        if not done:
            return _write(reply, part, 0)
    headers = {**_AS_IT_IS, "Range": f"bytes={done}-"}
    with requests.get(model.url, stream=True, timeout=TIMEOUT, headers=headers) as reply:
        if reply.status_code == requests.codes.requested_range_not_satisfiable:
            return part  # nothing is missing
        _check_status(model, reply)
        return _write(reply, part, done if reply.status_code == requests.codes.partial_content else 0)


def _write(reply: requests.Response, part: Path, offset: int) -> Path:
    if not offset:
        part.unlink(missing_ok=True)  # a worker taken for dead may still write into the old one
    with part.open("r+b" if offset else "xb") as file:
        file.seek(offset)
        for piece in reply.iter_content(PIECE):
            file.write(piece)
    return part


def _check_status(model: ModelFile, reply: requests.Response) -> None:
    status = reply.status_code
    if status in {408, 429} or status >= 500:
        asked = reply.headers.get("Retry-After", "")
        raise _Broken(f"answers {status}{_advise(status)}", min(int(asked), MOST_WAIT) if asked.isdigit() else 0)
    if status >= 400:
        raise ModelError(f"{_host(model.url)} answers {status}{_advise(status)}")


def _is_passing(status: int) -> bool:
    """Whether it is no refusal, or one that another try may not meet."""
    return status < 400 or status in {408, 416, 429} or status >= 500  # 416: it has no first byte


def _explain(where: str, reply: Any) -> str:
    """The refusal of a server, in words; `reply`: of requests, or what is like it of the hub's client."""
    if reply.headers.get("X-Error-Code") == "GatedRepo":
        return f"{where} answers {reply.status_code}: accept its terms on the hub, and set HF_TOKEN"
    return f"{where} answers {reply.status_code}{_advise(reply.status_code)}"


def _advise(status: int) -> str:
    if status in {401, 403}:
        return ": set HF_TOKEN to a token that may read it, or use another URL"
    if status == 429:
        return " (too many requests): set HF_TOKEN, whose requests are counted apart, or try again later"
    return ": is the URL right?" if status == 404 else ""


def _find_other_hash(file: Path, model: ModelFile) -> str | None:
    if model.sha256 is None:
        return None
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(2**22):
            digest.update(piece)
    found = digest.hexdigest()
    return None if found == model.sha256.lower() else f"has the sha256 {found}, not {model.sha256}"


def _host(url: str) -> str:
    """Scheme, host and path: a signed URL's query is a secret."""
    return url.partition("?")[0]


def _flush(file: Path) -> None:
    """Other machines read this file: its data must reach the volume before its name does."""
    with file.open("r+b") as handle:
        os.fsync(handle.fileno())
