"""Buckets that answer otherwise than AWS's: a redirect, another region, without end, more than was asked for."""

import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from tests.helpers import small_job, wait_until
from worker import config
from worker.config import Bucket
from worker.errors import InvalidInput, JobCancelled, OutputFailed
from worker.input import s3_config
from worker.input.request import parse
from worker.output import storage, transport, volume
from worker.output.delivery import Delivery
from worker.output.file import Item, OutputFile
from worker.output.transport import Refused

CLIP = b"a video"
SECRETS = ("AKIAEXAMPLEKEYID0000", "s3cr3t/of+the+bucket")


OK = b"HTTP/1.1 200 OK\r\n"
CHUNK = b"100000\r\n" + bytes(2**20) + b"\r\n"
ZEROS = zlib.compressobj(9, zlib.DEFLATED, 31)  # gzip
BOMB = ZEROS.compress(bytes(500_000_000)) + ZEROS.flush()
# What a server says first, and then again and again.
ENDLESS = {
    "body": (OK + b"Connection: close\r\n\r\n", bytes(2**20)),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
    "chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFF\r\n", bytes(2**20)),
    "chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 2**16),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: a\r\n"),
    "headers": (OK, b"X-A: " + b"a" * 60_000 + b"\r\n"),
    "header": (OK + b"X-A: ", b"a" * 2**16),
    "status": (b"HTTP/1.1 ", b"2" * 2**16),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 1000),
    "gzip": (OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + BOMB, b""),
    "error": (b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", bytes(2**20)),
}


@dataclass
class Store:
    """An S3 of one region that keeps what it is given, or answers as it is told."""

    region: str = "garage"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hint: bool = True
    readable: bool = True
    kept: dict[str, bytes] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def put(self, path: str, signed_for: str, data: bytes) -> tuple[int, bytes]:
        if signed_for != self.region and self.hint:
            text = f"<Error><Code>AuthorizationHeaderMalformed</Code><Region>{self.region}</Region></Error>"
            return 400, text.encode()
        self.kept[path] = data
        return self.status, self.body

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        signed_for = (query.get("X-Amz-Credential") or ["///"])[0].split("/")[2]
        if not self.readable or (query and signed_for != self.region):
            return 403, b"<Error><Code>AccessDenied</Code></Error>"
        return (200, self.kept[path]) if path in self.kept else (404, b"<Error><Code>NoSuchKey</Code></Error>")


@contextmanager
def serving(store: Store) -> Iterator[Store]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            store.hosts.append(self.headers["Host"])
            store.types.append(self.headers["Content-Type"])
            found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", self.headers.get("Authorization", ""))
            self.answer(*store.put(unquote(urlsplit(self.path).path), found[1] if found else "", data))

        do_POST = do_PUT  # noqa: N815

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            store.ranges.append(self.headers["Range"])
            self.answer(*store.get(unquote(url.path), parse_qs(url.query)))

        def answer(self, status: int, body: bytes) -> None:
            with suppress(OSError):  # whoever asked has heard enough
                self.tell(status, body)

        def tell(self, status: int, body: bytes) -> None:
            self.send_response(status)
            for name, value in store.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


def upload(endpoint: str, data: bytes = CLIP, **changes: Any) -> str:
    options = {"name": "clips", "prefix": "", "expiry": 600, "timeout": 20, **changes}
    return storage.upload(
        Bucket(endpoint, *SECRETS, **options), [Item("job/a.mp4", data, "video/mp4")], threading.Event()
    )[0]


def upload_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "upload" in thread.name or "ThreadPool" in thread.name]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("size", [len(CLIP), 9_000_000])
def test_a_redirect_is_a_failure_that_names_where_it_leads(status: int, size: int) -> None:
    to = f"https://{SECRETS[0]}:x@s3.example:8443/clips/job/a.mp4?X-Amz-Signature=abc"
    with serving(Store(status=status, headers={"Location": to}, hint=False)) as store:
        with pytest.raises(
            OutputFailed, match=r"redirect to https://s3\.example:8443: set BUCKET_ENDPOINT_URL"
        ) as caught:
            upload(store.url, bytes(size))
    assert not any(text in str(caught.value.answer()) for text in (*SECRETS, "job/a.mp4", "abc"))


@pytest.mark.parametrize("location", ["", "/", "//", "http://[", "javascript:x", "https://\r\n"])
def test_a_redirect_to_nowhere_is_a_failure_too(location: str) -> None:
    with serving(Store(status=302, headers={"Location": location.strip()}, hint=False)) as store:
        with pytest.raises(OutputFailed, match="the upload failed with HTTP 302"):
            upload(store.url)


class TestRegion:
    def test_the_url_is_signed_for_the_region_that_took_the_file(self) -> None:
        with serving(Store("garage")) as store:
            url = upload(store.url)
            assert requests.get(url, timeout=5).content == CLIP
            assert "%2Fgarage%2Fs3%2F" in url

    def test_one_that_is_set_is_used_at_once(self) -> None:
        with serving(Store("eu-2")) as store:
            assert requests.get(upload(store.url, region="eu-2"), timeout=5).content == CLIP
            assert len(store.hosts) == 1

    def test_a_store_that_wants_another_one_each_time_is_asked_twice(self) -> None:
        class Never(Store):
            def put(self, path: str, signed_for: str, data: bytes) -> tuple[int, bytes]:
                self.region = f"not-{len(self.hosts)}"
                return super().put(path, signed_for, data)

        with serving(Never()) as store, pytest.raises(OutputFailed, match="BUCKET_REGION"):
            upload(store.url)
        assert len(store.hosts) == 2

    def test_a_url_that_does_not_work_is_not_handed_out(self) -> None:
        with serving(Store("elsewhere", hint=False)) as store:
            with pytest.raises(OutputFailed, match="cannot be read at its URL: AccessDenied"):
                upload(store.url)

    def test_one_that_compresses_what_it_serves_is_used(self) -> None:
        class Compressing(Store):
            def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
                return 200, b"\x1f\x8b"

        with serving(Compressing("us-east-1")) as store:
            assert upload(store.url).startswith(store.url)

    @pytest.mark.parametrize("size", [1, 9_000_000])
    def test_nor_one_that_serves_something_else(self, size: int) -> None:
        class Other(Store):
            def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
                return 200, b"<" * size

        with serving(Other("us-east-1")) as store, pytest.raises(OutputFailed, match="which serves something else"):
            upload(store.url)


class TestAddresses:
    def test_the_name_goes_into_the_host_where_that_is_set(self) -> None:
        with serving(Store("us-east-1")) as store:
            endpoint = store.url.replace("127.0.0.1", "s3.example")
            url = upload(endpoint, in_host=True, addresses=("127.0.0.1",))
            assert store.hosts == [f"clips.{urlsplit(endpoint).netloc}"]
            assert list(store.kept) == ["/job/a.mp4"]
            assert url.startswith(f"http://clips.{urlsplit(endpoint).netloc}/job/a.mp4?")

    def test_a_public_url_lasts_and_holds_no_signature(self) -> None:
        with serving(Store("us-east-1")) as store:
            url = upload(store.url, prefix="a b", public_url=f"{store.url}/clips")
            assert url == f"{store.url}/clips/a%20b/job/a.mp4"
            store.kept.clear()
            with pytest.raises(OutputFailed, match="cannot be read at its URL"):
                upload(store.url, public_url=f"{store.url}/elsewhere")

    @pytest.mark.parametrize(("below", "name"), [("/clips", "clips"), ("/clips", ""), ("", "clips")])
    def test_a_public_url_stands_for_the_bucket_wherever_that_is_named(self, below: str, name: str) -> None:
        with serving(Store("us-east-1")) as store:
            url = upload(store.url + below, name=name, prefix="p", public_url=f"{store.url}/clips")
            assert url == f"{store.url}/clips/p/job/a.mp4"
            assert store.ranges == ["bytes=0-0"]

    def test_a_jobs_bucket_is_dialed_at_the_addresses_it_was_checked_at_and_nowhere_else(self) -> None:
        with serving(Store("us-east-1")) as store:
            port = urlsplit(store.url).port
            # 127.0.0.9 answers nothing, so the next of its addresses is taken; the name itself resolves to nothing.
            upload(f"http://bucket.invalid:{port}", addresses=("127.0.0.9", "127.0.0.1"))
            assert store.hosts == [f"bucket.invalid:{port}"]
            with pytest.raises(OutputFailed, match="nothing answers"):
                upload(store.url, addresses=("127.0.0.9",))

    @pytest.mark.parametrize(
        ("below", "bucket", "path"),
        [
            ("", {"name": "clips"}, "/clips/job/a.mp4"),
            ("", {"name": "clips", "prefix": "p/q"}, "/clips/p/q/job/a.mp4"),
            ("/clips", {"name": "clips"}, "/clips/job/a.mp4"),
            ("/clips", {"name": ""}, "/clips/%m-%y/job/a.mp4"),
            ("/clips", {"name": "", "prefix": "p"}, "/clips/p/job/a.mp4"),
        ],
    )
    def test_a_file_goes_below_the_buckets_name_and_prefix_and_its_url_leads_there(
        self, below: str, bucket: dict[str, Any], path: str
    ) -> None:
        with serving(Store("us-east-1")) as store:
            url = upload(store.url + below, expiry=90, **bucket)
            assert store.kept == {time.strftime(path): CLIP}
            assert store.types == ["video/mp4"]
            assert urlsplit(url).path == time.strftime(path)
            assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["90"]

    @pytest.mark.parametrize(
        ("endpoint", "region", "addresses", "followed"),
        [
            ("https://s3.amazonaws.com", "eu-west-1", (), "https://s3.eu-west-1.amazonaws.com"),
            ("https://clips.s3.us-east-2.amazonaws.com/x", "eu-west-1", (), "https://clips.s3.eu-west-1.amazonaws.com/x"),
            ("https://clips.s3-us-west-1.amazonaws.com", "eu-west-1", (), "https://clips.s3.eu-west-1.amazonaws.com"),
            ("https://s3.amazonaws.com", "eu-west-1", ("1.1.1.1",), None),
            ("https://minio.example", "eu-west-1", ("1.1.1.1",), "https://minio.example"),
            ("https://minio.example", "eu-west-1", (), "https://minio.example"),
            ("https://minio.example", "a" * 40, (), "https://minio.example"),
            ("https://minio.example", "a" * 41, (), None),
            ("https://minio.example", "EU WEST", (), None),
            ("https://minio.example", "", (), None),
            ("https://minio.example", "set", (), None),
        ],
    )  # fmt: skip
    def test_a_hint_at_another_region_is_followed_once_at_that_regions_host(
        self, endpoint: str, region: str, addresses: tuple[str, ...], followed: str | None
    ) -> None:
        asked = Bucket(endpoint, *SECRETS, "clips", "", 600, 20, region="set", addresses=addresses)
        found = storage._in_region(asked, Refused(400, "AuthorizationHeaderMalformed", region, ""))
        assert (found and (found.endpoint, found.region)) == (followed and (followed, region))

    @pytest.mark.parametrize(
        ("location", "told"),
        [
            ("https://b.example/secret?key", "https://b.example"),
            ("http://u:p@b.example:8080/", "http://b.example:8080"),
            ("ftp://b.example", ""),
            ("/elsewhere", ""),
            ("https://b example/", ""),
            ("https://b.example:port/", ""),
            (None, ""),
        ],
    )
    def test_of_a_redirect_only_scheme_and_host_are_told(self, location: str | None, told: str) -> None:
        assert transport._origin(location) == told

    @pytest.mark.parametrize(
        ("addresses", "code", "told"),
        [((), "QuotaExceeded", "QuotaExceeded: the bucket is full"), (("127.0.0.1",), "VisitEvilExample", "HTTP 507")],
    )
    def test_a_failure_of_the_stores_own_is_told_by_its_code(
        self, addresses: tuple[str, ...], code: str, told: str
    ) -> None:
        with serving(Store("us-east-1", status=507, body=f"<Error><Code>{code}</Code></Error>".encode())) as store:
            with pytest.raises(OutputFailed, match=f"the upload failed with {told}$"):
                upload(store.url, addresses=addresses)
        assert len(store.hosts) == 1


class TestDelivery:
    ENVIRON: ClassVar = {
        "BUCKET_ACCESS_KEY_ID": "a",
        "BUCKET_SECRET_ACCESS_KEY": "b",
        "BUCKET_NAME": "clips",
        "VOLUME_DIR": "/dev/null/none",
    }
    FILES: ClassVar = [OutputFile("a.png", b"no picture"), OutputFile("clip.mp4", CLIP)]

    def delivery(self, url: str, cancelled: threading.Event | None = None) -> Delivery:
        settings = config.read({**self.ENVIRON, "BUCKET_ENDPOINT_URL": url, "BUCKET_TIMEOUT": "5"})
        return Delivery({"id": "a/b"}, parse(small_job(), settings), settings, cancelled or threading.Event())

    def test_the_bucket_is_the_first_way_where_there_is_one(self) -> None:
        with serving(Store("us-east-1")) as store:
            delivery = self.delivery(store.url)
            answer = delivery.send(self.FILES, {"warnings": []})
        assert delivery.ways == ("bucket", "inline")
        assert store.kept == {"/clips/a_b/a.png": b"no picture", "/clips/a_b/clip.mp4": CLIP}
        assert sorted(store.types) == ["image/png", "video/mp4"]
        urls = [entry["data"] for entry in answer["outputs"]]
        assert [urlsplit(url).path for url in urls] == ["/clips/a_b/clip.mp4", "/clips/a_b/a.png"]
        assert answer["video_url"] == urls[0]

    def test_a_cancel_ends_it_and_tries_no_other_way(self) -> None:
        cancelled = threading.Event()
        cancelled.set()
        with serving(Store("us-east-1", status=403)) as store, pytest.raises(JobCancelled):
            self.delivery(store.url, cancelled).send(self.FILES, {"warnings": []})

    def test_a_cancel_ends_one_under_way(self) -> None:
        cancelled = threading.Event()
        threading.Timer(0.3, cancelled.set).start()
        with trickling() as url, pytest.raises(JobCancelled):
            self.delivery(url, cancelled).send(self.FILES, {"warnings": []})

    def test_whatever_goes_wrong_in_one_way_the_next_has_the_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> list[str]:
            raise IndexError

        monkeypatch.setattr(storage, "upload", fail)
        answer = self.delivery("http://127.0.0.1:9").send(self.FILES, {"warnings": ["w"]})
        assert answer["warnings"] == [
            "w",
            "the bucket failed: an internal error: IndexError; the files are in the reply",
        ]


class TestFolder:
    FILES: ClassVar = {"a.mp4": b"1", "b.png": b"2"}

    def test_it_holds_exactly_what_was_kept_last_and_nothing_of_a_try_that_was_killed(self, tmp_path: Path) -> None:
        folder = tmp_path / "outputs" / "job"
        (tmp_path / "outputs" / ".job.partial").mkdir(parents=True)
        assert volume.keep(tmp_path / "outputs", "job", self.FILES) == [folder / "a.mp4", folder / "b.png"]
        assert volume.keep(tmp_path / "outputs", "../job", {"b.png": b"2"}) == [folder / "b.png"]
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == {folder / "b.png": b"2"}
        assert list((tmp_path / "outputs").iterdir()) == [folder]

    @pytest.mark.parametrize(("name", "why"), [("a\0b", "ValueError"), ("no/folder", "No such file or directory")])
    def test_where_one_cannot_be_written_all_is_as_before(self, tmp_path: Path, name: str, why: str) -> None:
        volume.keep(tmp_path, "job", self.FILES)
        with pytest.raises(OutputFailed, match=f"its files cannot be written: {why}"):
            volume.keep(tmp_path, "job", {"a.mp4": b"3", name: b"3"})
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.mp4", "b.png", "job"]
        with pytest.raises(OutputFailed):
            volume.keep(tmp_path / "job" / "a.mp4", "below", self.FILES)

    @pytest.mark.parametrize("name", ["..", "../..", "a/..", "", "/", "."])
    def test_a_name_that_is_none_is_a_folder_below_all_the_same(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "other").touch()
        for path in volume.keep(tmp_path / "outputs", name, self.FILES):
            assert path.resolve().parent.parent == tmp_path / "outputs"
        assert (tmp_path / "other").exists()

    def test_only_a_folder_that_is_there_is_writable(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert [volume.is_writable(tmp_path / name) for name in ("", "file", "none")] == [True, False, False]


class TestHostileAnswers:
    @pytest.mark.parametrize("status", [200, 400, 500])
    def test_a_long_one_is_read_to_its_limit_only(self, status: int) -> None:
        body = (b"" if status == 200 else b"<Error><Code>AccessDenied</Code><Message>") + bytes(200_000_000)

        with serving(Store("us-east-1", status=status, body=body)) as store:
            before = memory()
            peak = [before]
            watching = threading.Event()
            watcher = threading.Thread(target=lambda: watch(peak, watching))
            watcher.start()
            with suppress(OutputFailed):
                upload(store.url, timeout=5)
            watching.set()
            watcher.join()
        assert max(peak) - before < 60_000_000

    @pytest.mark.parametrize("answer", ENDLESS)
    def test_one_without_end_ends_in_time_and_takes_no_memory(self, answer: str) -> None:
        with pouring(*ENDLESS[answer]) as url:
            before, began = memory(), time.monotonic()
            peak = [before]
            watching = threading.Event()
            watcher = threading.Thread(target=lambda: watch(peak, watching))
            watcher.start()
            with pytest.raises(OutputFailed):
                upload(url, timeout=3)
            watching.set()
            watcher.join()
            assert time.monotonic() - began < 10
            wait_until(lambda: upload_threads() == [])
        assert max(peak) - before < 60_000_000

    def test_a_code_of_a_jobs_bucket_that_is_not_s3s_is_not_repeated(self) -> None:
        body = b"<Error><Code>VisitEvilExample</Code></Error>"
        with serving(Store("us-east-1", status=403, body=body)) as store:
            with pytest.raises(OutputFailed, match="HTTP 403") as caught:
                upload(store.url, addresses=("127.0.0.1",))
            assert "Evil" not in caught.value.message
            with pytest.raises(OutputFailed, match="VisitEvilExample"):
                upload(store.url)  # the operator's own: the code may help

    @pytest.mark.parametrize("size", [len(CLIP), 20_000_000])
    def test_one_that_trickles_keeps_no_thread(self, size: int) -> None:
        with trickling() as url:
            with pytest.raises(OutputFailed, match="took longer than 1 s"):
                upload(url, bytes(size), timeout=1)
            end = time.monotonic() + 10
            while upload_threads() and time.monotonic() < end:
                time.sleep(0.05)
            assert upload_threads() == []


def memory() -> int:
    """The bytes that this process has in memory."""
    return int(re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024


def watch(peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.005):
        peak.append(memory())


def trickling() -> AbstractContextManager[str]:
    """A server whose answer never ends: a byte of a header ten times a second."""
    return pouring(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", pause=0.1)


@contextmanager
def pouring(first: bytes, again: bytes, pause: float = 0) -> Iterator[str]:
    """A server that says the one and then the other for ever, whatever it is asked; it reads nothing."""
    done = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(first)
                while again and not done.wait(pause):
                    connection.sendall(again)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        done.set()
        server.close()


class TestTheJobsOwnEndpoint:
    def test_it_is_resolved_once_and_the_addresses_that_were_checked_are_the_ones_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that answers a public address first and a private one later, as in DNS rebinding."""
        monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
        with serving(Store("us-east-1")) as store, serving(Store("us-east-1")) as inside:
            names = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
            real = socket.getaddrinfo

            def rebind(host: str, *arguments: Any, **options: Any) -> Any:
                return real(next(names) if host == "rebinding.example" else host, *arguments, **options)

            monkeypatch.setattr(socket, "getaddrinfo", rebind)
            url = store.url.replace("127.0.0.1", "rebinding.example")
            own = {"accessId": "a", "accessSecret": "b", "bucketName": "clips", "endpointUrl": url}
            bucket = s3_config.parse(own, config.read({}))
            assert bucket
            assert bucket.addresses == ("127.0.0.1",)
            storage.upload(bucket, [Item("job/a.mp4", CLIP, "video/mp4")], threading.Event())
            assert (len(store.kept), len(inside.kept)) == (1, 0)
            assert next(names) == "127.0.0.2"  # nobody asked again

    @pytest.mark.parametrize(
        ("endpoint", "host", "port"),
        [
            ("https://two.example/x/", "two.example", 443),
            ("https://two.example/X", "two.example", 443),
            ("HTTPS://two.example", "two.example", 443),
            ("http://two.example", "two.example", 80),
            ("https://two.example:9000/", "two.example", 9000),
        ],
    )
    def test_it_is_the_bucket_that_the_job_names_with_the_workers_limits(
        self, monkeypatch: pytest.MonkeyPatch, endpoint: str, host: str, port: int
    ) -> None:
        real, asked = socket.getaddrinfo, []

        def public(name: str, number: int, *arguments: Any, **options: Any) -> Any:
            asked.append((name, number))
            return real("93.184.215.14", number, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", public)
        own = {"accessId": " a ", "accessSecret": "b\n", "bucketName": "clips", "endpointUrl": endpoint, "more": 1}
        settings = config.read({"BUCKET_EXPIRY": "90", "BUCKET_TIMEOUT": "7"})
        expected = Bucket(endpoint.rstrip("/"), "a", "b", "clips", "", 90, 7, addresses=("93.184.215.14",))
        assert s3_config.parse(own, settings) == expected
        assert asked == [(host, port)]

    def test_what_is_no_object_or_lacks_a_field_is_named(self) -> None:
        assert s3_config.parse(None, config.read({})) is s3_config.parse({}, config.read({})) is None
        for own, names in ((5, {"s3Config"}), ({"accessId": None}, {"accessId", "accessSecret", "endpointUrl"})):
            with pytest.raises(InvalidInput) as caught:
                Delivery({"s3Config": own}, parse(small_job(), config.read({})), config.read({}), threading.Event())
            fields = caught.value.details["fields"].keys()
            assert {field.removeprefix("s3Config.") for field in fields} == names
            assert all(field.startswith("s3Config") for field in fields)

    @pytest.mark.parametrize("private", ["10.0.0.1", "::ffff:10.0.0.1", "::1"])
    def test_a_name_with_a_private_address_among_others_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, private: str
    ) -> None:
        real = socket.getaddrinfo

        def both(_host: str, *arguments: Any, **options: Any) -> Any:
            return [*real("93.184.215.14", *arguments, **options), *real(private, *arguments, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        own = {"accessId": "a", "accessSecret": "b", "endpointUrl": "https://two.example"}
        with pytest.raises(InvalidInput, match="must be a public address"):
            s3_config.parse(own, config.read({}))

    def test_a_resolver_that_does_not_answer_can_be_cancelled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])
        own = {"accessId": "a", "accessSecret": "b", "endpointUrl": "https://slow.example"}

        def check() -> None:
            raise JobCancelled("no more")

        with pytest.raises(JobCancelled):
            s3_config.parse(own, config.read({}), check)
        release.set()

    @pytest.mark.parametrize("host", ["", ".", "a..b", "x" * 300, "[::1", "a:b", "a:99999", "xn--", "\u2100.example"])
    def test_a_host_that_is_none_is_an_input_error(self, host: str) -> None:
        own = {"accessId": "a", "accessSecret": "b", "endpointUrl": f"https://{host}/"}
        with pytest.raises(InvalidInput, match=r"s3Config\.endpointUrl"):
            s3_config.parse(own, config.read({}))
