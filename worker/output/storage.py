"""An S3 bucket for finished files. Its client takes 9 MB and 70 ms: it is imported where there is a bucket."""

import functools
import logging
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from worker.config import Bucket
from worker.errors import OutputFailed, WorkerError
from worker.output.file import Item
from worker.output.transport import Refused, Transport

_NO_FILE = (b"", b"<", b"{")
log = logging.getLogger(__name__)

PART = 8 * 2**20  # bytes: larger files go up in parts of this size
AT_ONCE = 4  # files in flight, and parts in flight of each large one
ATTEMPTS = 4  # of each request, with growing pauses of at most a few seconds
TICK = 0.1  # seconds at most until a cancel is seen

# What S3 and its kin say of a request they refuse, and what the operator can do.
_ADVICE = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key, or the region is wrong (BUCKET_REGION)",
    "AuthorizationHeaderMalformed": "the region is wrong: set BUCKET_REGION",
    "AuthorizationQueryParametersError": "the region is wrong: set BUCKET_REGION",
    "AccessDenied": "the key may not do that there",
    "NoSuchBucket": "there is no such bucket; is the bucket's name set, or in the endpoint's URL?",
    "RequestTimeTooSkewed": "this machine's clock and the bucket's differ by too much",
    "SecondLevelDomainForbidden": "this service wants the bucket's name in its host: set BUCKET_ADDRESSING=host",
    "EndpointConnectionError": "nothing answers at the endpoint",
    "QuotaExceeded": "the bucket is full",
}
_REGION = re.compile(
    r"\bs3[.-](?:dualstack\.)?([a-z]+(?:-[a-z0-9]+)+)\.|^s3api-([a-z0-9-]+)\.|([a-z]+[0-9])\.digitaloceanspaces\."
)


def upload(bucket: Bucket, items: Sequence[Item], cancelled: threading.Event) -> list[str]:
    """Put every item into the bucket and return their URLs, in order: presigned, or under the bucket's public URL.

    Signed for the region that the store asks for, whatever was guessed; the first URL has been tried. Raises
    OutputFailed when an item cannot be stored or read, when it all takes longer than the bucket's timeout, or soon
    after `cancelled` is set. Messages name no key, no path and no signed URL.
    """
    end = time.monotonic() + bucket.timeout
    try:
        try:
            return _send(bucket, items, cancelled, end)
        except Refused as refusal:
            if not (elsewhere := _in_region(bucket, refusal)):
                raise
            log.info("the bucket wants requests signed for %s", refusal.region)
            return _send(elsewhere, items, cancelled, end)
    except WorkerError:
        raise
    except Exception as error:
        raise _translate(error, bucket) from error


def _send(bucket: Bucket, items: Sequence[Item], cancelled: threading.Event, end: float) -> list[str]:
    with _Transfer(bucket, end) as transfer:
        return transfer.run(items, cancelled)


def _in_region(bucket: Bucket, refusal: Refused) -> Bucket | None:
    """The bucket as the store's hint has it; None: there is no hint, or it was followed already."""
    if not refusal.region or refusal.region == bucket.region or not re.fullmatch(r"[a-z0-9-]{1,40}", refusal.region):
        return None
    # AWS answers for a bucket of another region at that region's own host only.
    regional = re.sub(r"\bs3[.-](?:[a-z0-9-]+\.)?amazonaws\.com", f"s3.{refusal.region}.amazonaws.com", bucket.endpoint)
    if bucket.addresses and regional != bucket.endpoint:
        return None  # the addresses are the other host's
    return replace(bucket, region=refusal.region, endpoint=regional)


class _Transfer:
    """Uploads of one clip, in threads that end soon after it is closed."""

    def __init__(self, bucket: Bucket, end: float) -> None:
        self._bucket, self._end = bucket, end
        self._pool = ThreadPoolExecutor(AT_ONCE, "upload")
        self._transport = Transport(bucket, AT_ONCE * AT_ONCE)
        self._client = _connect(bucket, self._transport)

    def __enter__(self) -> "_Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        # Not waited for: what a thread sends or waits for fails at once, and no connection is opened again.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    def run(self, items: Sequence[Item], cancelled: threading.Event) -> list[str]:
        start = time.monotonic()
        self._await([self._pool.submit(self._put, item) for item in items], cancelled)
        size = sum(len(item.data) for item in items)
        log.info("uploaded %d files, %d bytes, in %.2f s", len(items), size, time.monotonic() - start)
        urls = [self._url(item) for item in items]
        if items:
            self._await([self._pool.submit(self._try, urls[0], items[0])], cancelled)
        return urls

    def _await(self, futures: Sequence[Future[None]], cancelled: threading.Event) -> None:
        """Return once all are done; raises what the first failed one met."""
        while True:
            done, pending = wait(futures, TICK, FIRST_EXCEPTION)
            for future in done:
                future.result()
            if not pending:
                return
            if cancelled.is_set():
                raise OutputFailed("the upload was stopped: the job was canceled")
            if time.monotonic() > self._end:
                log.warning("upload given up: %d of %d requests left", len(pending), len(futures))
                raise OutputFailed(f"the upload took longer than {self._bucket.timeout:g} s")

    def _put(self, item: Item) -> None:
        where = _place(self._bucket, item)
        kind = {"ContentType": item.mime_type}
        if len(item.data) <= PART:
            self._client.put_object(**where, **kind, Body=item.data)
            return
        parts = TransferConfig(PART, AT_ONCE, PART, preferred_transfer_client="classic")
        parts.max_in_memory_upload_chunks = AT_ONCE
        self._client.upload_fileobj(BytesIO(item.data), **where, ExtraArgs=kind, Config=parts)

    def _url(self, item: Item) -> str:
        where = _place(self._bucket, item)
        if self._bucket.public_url:
            inside = where["Key"] if _is_named(self._bucket) else f"{where['Bucket']}/{where['Key']}"
            return f"{self._bucket.public_url}/{quote(inside)}"
        url: str = self._client.generate_presigned_url("get_object", where, ExpiresIn=self._bucket.expiry)
        return url

    def _try(self, url: str, item: Item) -> None:
        """Fetch the first byte of what was stored, as the caller will: a key may write and not read."""
        try:
            served = self._transport.first_byte(url)
        except Refused as refusal:
            if refusal.region and refusal.region != region_of(self._bucket):
                raise
            raise OutputFailed(
                f"the stored file cannot be read at its URL: {_reason(refusal, self._bucket)}"
            ) from refusal
        # A login's or an error's page, or nothing; any other byte may come of a store that compresses what it serves.
        if served != item.data[:1] and served in _NO_FILE:
            raise OutputFailed("the stored file cannot be read at its URL, which serves something else")


_MAKING_CLIENT = threading.Lock()  # a session is not thread-safe where it makes clients


@functools.cache
def _session() -> Any:
    """One for all uploads: each reads megabytes of S3's description."""
    return boto3.session.Session()


def _connect(bucket: Bucket, transport: Transport) -> Any:
    """A client that any S3 of today understands: R2 and GCS refuse the checksums that boto3 would add by default."""
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        s3={"addressing_style": "path"},
    )
    with _MAKING_CLIENT:
        client = _session().client(
            "s3",
            endpoint_url=_endpoint(bucket),
            region_name=region_of(bucket),
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            config=config,
        )
    client.meta.events.register("before-send.s3", transport)
    return client


def _endpoint(bucket: Bucket) -> str:
    """The URL in front of a file's path: BUCKET_ADDRESSING=host puts the bucket's name into the host."""
    url = urlsplit(bucket.endpoint)
    if not bucket.in_host or not bucket.name or (url.hostname or "").startswith(f"{bucket.name}."):
        return bucket.endpoint
    return url._replace(netloc=f"{bucket.name}.{url.netloc}").geturl()


def _is_named(bucket: Bucket) -> bool:
    """Whether requests have to name the bucket: its endpoint's URL holds it neither in its host nor in its path."""
    url = urlsplit(_endpoint(bucket))
    in_host = (url.hostname or "").startswith(f"{bucket.name}.")
    return bool(bucket.name) and not in_host and not url.path.endswith(f"/{bucket.name}")


def _place(bucket: Bucket, item: Item) -> dict[str, str]:
    """The bucket and the key to name in a request for the item.

    Where the endpoint's URL holds the bucket, the path's first folder stands in the bucket's place: the request goes to
    the same path, and its signature holds. Where it holds it and no name says so, the month is in front, as the runpod
    SDK has it.
    """
    folder = bucket.prefix or ("" if bucket.name else time.strftime("%m-%y"))
    path = f"{folder}/{item.key}" if folder else item.key
    if _is_named(bucket):
        return {"Bucket": bucket.name, "Key": path}
    first, _, rest = path.partition("/")
    return {"Bucket": first, "Key": rest}


def region_of(bucket: Bucket) -> str:
    """The region that requests are signed for: as set or learned, else as the endpoint's host tells it."""
    if bucket.region:
        return bucket.region
    found = _REGION.search(urlsplit(bucket.endpoint).hostname or "")
    return next(group for group in found.groups() if group) if found else "us-east-1"


def _translate(error: Exception, bucket: Bucket) -> OutputFailed:
    """Why an upload failed, by its kind: the text of an error can hold addresses, keys and signatures."""
    reason = _reason(error, bucket)
    log.warning("the upload failed with %s", reason)
    return OutputFailed(f"the upload failed with {reason}")


def _reason(error: Exception, bucket: Bucket) -> str:
    if isinstance(error, Refused) and error.location:
        return f"a redirect to {error.location}: set BUCKET_ENDPOINT_URL (or s3Config.endpointUrl) to that address"
    kind = type(error).__name__
    if isinstance(error, (Refused, ClientError)):
        kind = _name_code(error, bucket)
    return kind + (f": {_ADVICE[kind]}" if kind in _ADVICE else "")


def _name_code(error: Refused | ClientError, bucket: Bucket) -> str:
    """What the store says, where it is a word of S3's, or the operator's own store; else the status alone."""
    if isinstance(error, Refused):
        code, status = error.code, error.status
    else:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    own = not bucket.addresses and re.fullmatch(r"[A-Za-z]\w{1,60}", code)
    return code if code in _ADVICE or own else f"HTTP {status}"
