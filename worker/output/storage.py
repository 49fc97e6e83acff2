"""Places for finished files outside the reply: an S3 bucket, and a folder such as the network volume's."""

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from worker.config import Bucket
from worker.errors import OutputFailed

log = logging.getLogger(__name__)

PART = 8 * 2**20  # bytes: larger files go up in parts of this size
AT_ONCE = 4  # files in flight, and parts in flight of each large one
ATTEMPTS = 4  # of each request, with growing pauses of at most a few seconds
CONNECT_SECONDS, SOCKET_SECONDS = 10.0, 30.0
TICK = 0.1  # seconds at most until a cancel is seen

# What S3 and its kin say of a request they refuse, and what the operator can do; other codes are told as they are.
_ADVICE = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "AccessDenied": "the key may not write there",
    "NoSuchBucket": "there is no such bucket; is the bucket's name set, or in the endpoint's URL?",
    "RequestTimeTooSkewed": "this machine's clock and the bucket's differ by too much",
    "EndpointConnectionError": "nothing answers at the endpoint",
}
_FAULTS = (BotoCoreError, ClientError, Boto3Error, OSError, ValueError)
_REGION = re.compile(
    r"\bs3[.-](?:dualstack\.)?([a-z]+(?:-[a-z0-9]+)+)\.|^s3api-([a-z0-9-]+)\.|([a-z]+[0-9])\.digitaloceanspaces\."
)


@dataclass(frozen=True)
class Item:
    """A file to store. `key`: its path in the place, with slashes."""

    key: str
    data: bytes
    mime_type: str


def upload(bucket: Bucket, items: Sequence[Item], cancelled: threading.Event) -> list[str]:
    """Put every item into the bucket and return their presigned URLs, in order.

    Raises OutputFailed when an item cannot be stored, when it all takes longer than the bucket's timeout, or soon after
    `cancelled` is set. Messages name no key, no address and no URL.
    """
    with _Transfer(bucket) as transfer:
        return transfer.run(items, cancelled)


def keep(folder: Path, items: Sequence[Item]) -> list[Path]:
    """Make `folder` hold exactly the items, all or none, and return their paths; raises OutputFailed."""
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for item in items:
            (partial / item.key).write_bytes(item.data)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        log.warning("cannot write to %s: %s", folder, error)
        raise OutputFailed(f"its files cannot be written: {error.strerror or type(error).__name__}") from error
    return [folder / item.key for item in items]


def is_writable(folder: Path) -> bool:
    """Whether it is there and new files can be made in it."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


class _Transfer:
    """Uploads of one clip, in threads that end soon after it is closed."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._end = time.monotonic() + bucket.timeout
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, "upload")
        self._name, self._folder = _locate(bucket)
        self._client = _connect(bucket)

    def __enter__(self) -> "_Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        # Not waited for: a thread that sends stops at its next block, one that waits for an answer at its timeout.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run(self, items: Sequence[Item], cancelled: threading.Event) -> list[str]:
        start = time.monotonic()
        futures = [self._pool.submit(self._put, item) for item in items]
        while pending := self._pending(futures):
            if cancelled.is_set():
                raise OutputFailed("the upload was given up: the job is cancelled")
            if time.monotonic() > self._end:
                log.warning("upload given up: %d of %d files left", pending, len(items))
                raise self._too_slow()
        size = sum(len(item.data) for item in items)
        log.info("uploaded %d files, %d bytes, in %.2f s", len(items), size, time.monotonic() - start)
        return [self._sign(item) for item in items]

    def _pending(self, futures: Sequence[Future[None]]) -> int:
        """How many uploads are not done yet; raises what the first failed one met."""
        done, pending = wait(futures, TICK, FIRST_EXCEPTION)
        try:
            for future in done:
                future.result()
        except CancelledError:
            raise self._too_slow() from None
        except _FAULTS as error:
            raise _translate(error) from error
        return len(pending)

    def _put(self, item: Item) -> None:
        key = self._folder + item.key
        if len(item.data) <= PART:
            body = _Body(item.data, self._check)
            self._client.put_object(Bucket=self._name, Key=key, Body=body, ContentType=item.mime_type)
            return
        parts = TransferConfig(PART, AT_ONCE, PART, preferred_transfer_client="classic")
        parts.max_in_memory_upload_chunks = AT_ONCE
        kind = {"ContentType": item.mime_type}
        self._client.upload_fileobj(
            BytesIO(item.data), self._name, key, kind, Callback=lambda _sent: self._check(), Config=parts
        )

    def _check(self) -> None:
        if self._stopped.is_set() or time.monotonic() > self._end:
            raise CancelledError  # the one exception that botocore neither wraps nor tries again

    def _too_slow(self) -> OutputFailed:
        return OutputFailed(f"the upload took longer than {self._bucket.timeout:g} s")

    def _sign(self, item: Item) -> str:
        where = {"Bucket": self._name, "Key": self._folder + item.key}
        url: str = self._client.generate_presigned_url("get_object", where, ExpiresIn=self._bucket.expiry)
        return url


class _Body(BytesIO):
    """A file's bytes that stop being sent once `check` raises."""

    def __init__(self, data: bytes, check: Callable[[], None]) -> None:
        super().__init__(data)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)


def _connect(bucket: Bucket) -> Any:
    """A client that any S3 of today understands: R2 and GCS refuse the checksums that boto3 would add by default."""
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=min(CONNECT_SECONDS, bucket.timeout),
        read_timeout=min(SOCKET_SECONDS, bucket.timeout),
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=AT_ONCE * AT_ONCE,
        s3={"addressing_style": "path"},
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=bucket.endpoint,
            region_name=region_of(bucket.endpoint),
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            config=config,
        )
    except _FAULTS as error:
        raise _translate(error) from error


def _locate(bucket: Bucket) -> tuple[str, str]:
    """The bucket to name in requests, and what every key begins with.

    Where the endpoint's URL holds the bucket, in its host or its path, the keys' first folder stands in the bucket's
    place: the request goes to the same path, and its signature holds. The runpod SDK has it so, with the month there.
    """
    url = urlsplit(bucket.endpoint)
    in_host = (url.hostname or "").startswith(f"{bucket.name}.")
    if bucket.name and not in_host and not url.path.endswith(f"/{bucket.name}"):
        return bucket.name, f"{bucket.prefix}/" if bucket.prefix else ""
    first, _, rest = (bucket.prefix or time.strftime("%m-%y")).partition("/")
    return first, f"{rest}/" if rest else ""


def region_of(endpoint: str) -> str:
    """The region that requests are signed for, where the endpoint's host tells it; R2, GCS and MinIO take the other."""
    host = urlsplit(endpoint).hostname or ""
    found = _REGION.search(host)
    return next(group for group in found.groups() if group) if found else "us-east-1"


def _translate(error: Exception) -> OutputFailed:
    """Why an upload failed, by its kind: the text of an error can hold addresses, keys and signatures."""
    kind = type(error).__name__
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = code if re.fullmatch(r"\w{1,60}", code) else "an error without a code"
    advice = f": {_ADVICE[kind]}" if kind in _ADVICE else ""
    log.warning("the upload failed with %s%s", kind, advice)
    return OutputFailed(f"the upload failed with {kind}{advice}")
