"""Where a clip goes: a bucket on a real S3 server, the reply, the volume; and what happens when one of them fails."""

import base64
import contextlib
import io
import logging
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import boto3
import pytest
import requests

from local import engine as preview
from tests.disks import mounted
from tests.helpers import find_free_port, told
from worker import config, job
from worker.comfyui import Scope
from worker.config import Bucket
from worker.errors import InvalidInput, JobCancelled, OutputFailed
from worker.output import storage
from worker.output.file import Item

KEY, SECRET = "AKIAEXAMPLEKEYID0000", "s3cr3t/of+the+bucket"
KEYS = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server with an empty bucket, `clips`."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{url}/moto-api/", timeout=5)
                break
            time.sleep(0.1)
        boto3.client("s3", endpoint_url=url, **KEYS).create_bucket(Bucket="clips")
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.01)) as running:
        yield running


@pytest.fixture
def send(engine: preview.Engine, tmp_path: Path, small: Callable[..., dict[str, Any]]) -> Send:
    """Run a small job: send(environ, input's fields..., cancelled=..., s3_config=...)."""

    def run(environ: dict[str, str], cancelled: threading.Event | None = None, **fields: Any) -> dict[str, Any]:
        s3_config = fields.pop("s3_config", None)
        here = {"COMFYUI_URL": engine.url, "COMFYUI_DIR": str(engine.home), "VOLUME_DIR": str(tmp_path / "none")}
        event = {"id": "sync-1a2b", "input": fields if "workflow" in fields else small(**fields), "s3Config": s3_config}
        return job.run(event, config.read(here | environ), lambda _: None, cancelled or threading.Event())

    return run


def bucket_environ(endpoint: str, **changes: str) -> dict[str, str]:
    """The settings of a worker with a bucket."""
    keys = {"BUCKET_ACCESS_KEY_ID": KEY, "BUCKET_SECRET_ACCESS_KEY": SECRET, "BUCKET_NAME": "clips"}
    return {"BUCKET_ENDPOINT_URL": endpoint, "BUCKET_TIMEOUT": "20", **keys, **changes}


def failures(answer: dict[str, Any]) -> list[str]:
    return [warning for warning in answer["warnings"] if "failed" in warning]


def path_of(url: str) -> str:
    return urllib.parse.urlsplit(url).path


class Proxy:
    """A TCP relay to the S3 server that is slow, or hangs up after some bytes from the client, `cuts` times."""

    def __init__(self, target: str, *, cut_after: int = 2**60, cuts: int = 0, pause: float = 0) -> None:
        host = urllib.parse.urlsplit(target)
        self.connections = 0

        class Relay(socketserver.BaseRequestHandler):
            def handle(relay) -> None:  # noqa: N805  `self` is the proxy
                self.connections += 1
                left = cut_after if self.connections <= cuts else 2**60
                with socket.create_connection((host.hostname, host.port or 80)) as server:
                    answers = threading.Thread(target=pour, args=(server, relay.request), daemon=True)
                    answers.start()
                    with contextlib.suppress(OSError):
                        while left > 0 and (data := relay.request.recv(4096)):
                            server.sendall(data)
                            left -= len(data)
                            time.sleep(pause)
                    relay.request.close()

        def pour(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_RDWR)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.socket.close()


@contextlib.contextmanager
def refusing(status: int, code: str, seen: list[dict[str, str]] | None = None) -> Iterator[str]:
    """An S3 server that answers every request with one error, and puts its headers into `seen`."""
    body = f"<Error><Code>{code}</Code><Message>key {KEY}, host 10.1.2.3</Message></Error>".encode()

    class Refusal(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if seen is not None:
                seen.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class TestBucket:
    def test_the_clip_lies_in_the_bucket_with_its_types_and_the_answer_has_its_urls(self, s3: str, send: Send) -> None:
        answer = send(bucket_environ(s3), num_frames=5)
        assert told(answer, "filename")[:2] == ["clip.mp4", "frame_0001.jpg"]
        assert set(told(answer, "encoding")) == {"url"}
        assert failures(answer) == []
        files = [requests.get(entry["data"], timeout=10) for entry in answer["outputs"]]
        assert [file.headers["Content-Type"] for file in files] == ["video/mp4"] + ["image/jpeg"] * 5
        assert path_of(answer["outputs"][0]["data"]) == "/clips/sync-1a2b/clip.mp4"
        with av.open(io.BytesIO(files[0].content)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5
        assert files[0].content.index(b"moov") < files[0].content.index(b"mdat")

    def test_the_frames_in_the_bucket_are_those_the_reply_would_hold(self, s3: str, send: Send) -> None:
        environ = bucket_environ(s3)
        stored = send(environ, output="frames", frame_format="png")
        inline = send(environ, output="frames", frame_format="png", delivery="inline")
        assert set(told(inline, "encoding")) == {"base64"}
        files = [requests.get(url, timeout=10).content for url in told(stored, "data")]
        assert files == [base64.b64decode(data) for data in told(inline, "data")]

    def test_urls_work_for_as_long_as_is_set(self, s3: str, send: Send) -> None:
        answer = send(bucket_environ(s3, BUCKET_EXPIRY="90"), output="video")
        assert "X-Amz-Expires=90&" in answer["outputs"][0]["data"]
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in answer["outputs"][0]["data"]

    def test_a_prefix_is_the_folder_of_every_file(self, s3: str, send: Send) -> None:
        answer = send(bucket_environ(s3, BUCKET_PREFIX="/a/b/"), output="video")
        assert path_of(answer["outputs"][0]["data"]) == "/clips/a/b/sync-1a2b/clip.mp4"

    def test_settings_made_for_worker_comfyui_name_the_bucket_in_the_url_alone(self, s3: str, send: Send) -> None:
        answer = send(bucket_environ(f"{s3}/clips/", BUCKET_NAME=""), output="video")
        url = answer["outputs"][0]["data"]
        assert path_of(url) == f"/clips/{time.strftime('%m-%y')}/sync-1a2b/clip.mp4"
        assert requests.get(url, timeout=10).headers["Content-Type"] == "video/mp4"

    def test_a_bucket_named_both_in_the_url_and_by_itself_is_named_once_in_requests(self, s3: str, send: Send) -> None:
        in_path = send(bucket_environ(f"{s3}/clips", BUCKET_PREFIX="p"), output="video")
        assert path_of(in_path["outputs"][0]["data"]) == "/clips/p/sync-1a2b/clip.mp4"
        # Here 127 is the bucket in the host 127.0.0.1, so the path's first folder is what moto takes for the bucket.
        in_host = send(bucket_environ(s3, BUCKET_NAME="127", BUCKET_PREFIX="clips/q"), output="video")
        assert path_of(in_host["outputs"][0]["data"]) == "/clips/q/sync-1a2b/clip.mp4"
        assert failures(in_host) == []

    def test_a_callers_graph_has_worker_comfyuis_images_as_urls(
        self, s3: str, send: Send, picture: Callable[..., str]
    ) -> None:
        graph = {
            "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mine"}},
        }
        (image,) = send(bucket_environ(s3), workflow=graph, image=picture())["images"]
        assert image["type"] == "s3_url"
        assert requests.get(image["data"], timeout=10).headers["Content-Type"] == "image/png"


class TestTheJobsOwnBucket:
    @pytest.fixture(autouse=True)
    def _allow_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")

    def test_it_goes_before_the_workers(self, s3: str, send: Send) -> None:
        own = {"accessId": KEY, "accessSecret": SECRET, "bucketName": "clips", "endpointUrl": s3}
        answer = send(bucket_environ(s3, BUCKET_PREFIX="workers"), s3_config=own, output="video")
        assert path_of(answer["outputs"][0]["data"]) == "/clips/sync-1a2b/clip.mp4"

    def test_its_faults_are_all_named_without_their_values(self, s3: str, send: Send) -> None:
        own = {"accessId": 5, "bucketName": SECRET, "endpointUrl": f"ftp://{SECRET}"}
        with pytest.raises(InvalidInput) as caught:
            send({}, s3_config=own)
        names = {"s3Config.accessId", "s3Config.accessSecret", "s3Config.bucketName", "s3Config.endpointUrl"}
        assert caught.value.details["fields"].keys() == names
        assert SECRET not in str(caught.value.answer())


PRIVATE = (
    *("http://127.0.0.1:9", "http://127.1:9", "http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://0"),
    *("http://169.254.169.254/clips", "https://[::1]/", "http://[::ffff:10.0.0.1]", "http://[64:ff9b::a00:1]"),
    *("http://localhost", "http://①②⑦.0.0.1", "http://100.64.0.1"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_jobs_bucket_at_a_private_address_is_refused_before_any_work(send: Send, address: str) -> None:
    own = {"accessId": KEY, "accessSecret": SECRET, "bucketName": "clips", "endpointUrl": address}
    with pytest.raises(InvalidInput, match="must be a public address"):
        send({}, s3_config=own)


@pytest.mark.parametrize("way", ["bucket", "volume"])
def test_a_way_that_the_endpoint_lacks_is_refused_before_any_work(send: Send, way: str) -> None:
    with pytest.raises(InvalidInput, match=f"delivery: {way} is not available"):
        send({}, delivery=way)


class TestVolume:
    def test_the_files_lie_on_the_volume_and_the_answer_tells_where(self, send: Send, tmp_path: Path) -> None:
        environ = {"VOLUME_DIR": str(tmp_path), "RUNPOD_DC_ID": "EU-RO-1", "RUNPOD_VOLUME_ID": "vol123"}
        answer = send(environ, delivery="volume", num_frames=5)
        assert set(told(answer, "encoding")) == {"volume"}
        paths = [Path(path) for path in told(answer, "path")]
        assert paths[0] == tmp_path / "outputs" / "sync-1a2b" / "clip.mp4"
        assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)
        with av.open(str(paths[0])) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5
        assert answer["outputs"][0]["s3"] == {
            "endpoint_url": "https://s3api-eu-ro-1.runpod.io",
            "region": "EU-RO-1",
            "bucket": "vol123",
            "key": "outputs/sync-1a2b/clip.mp4",
        }

    def test_a_job_that_is_run_again_replaces_its_files(self, send: Send, tmp_path: Path) -> None:
        environ = {"VOLUME_DIR": str(tmp_path)}
        send(environ, delivery="volume", num_frames=5)
        answer = send(environ, delivery="volume", output="video")
        assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == told(answer, "path")
        assert "s3" not in answer["outputs"][0]

    def test_a_volume_that_cannot_be_written_leaves_nothing_and_the_reply_has_the_clip(
        self, send: Send, tmp_path: Path
    ) -> None:
        (tmp_path / "outputs").write_text("a file where the folder should be")
        answer = send({"VOLUME_DIR": str(tmp_path)}, delivery="volume", output="video")
        assert told(answer, "encoding") == ["video_url"]
        assert "the network volume failed" in failures(answer)[0]
        assert [path.name for path in tmp_path.iterdir()] == ["outputs"]

    def test_a_full_volume_is_left_as_it_was_and_the_reply_has_the_clip(self, send: Send, tmp_path: Path) -> None:
        with mounted(tmp_path / "volume", "size=64k"):
            answer = send({"VOLUME_DIR": str(tmp_path / "volume")}, delivery="volume", width=256, height=256)
            assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert set(told(answer, "encoding")) == {"base64", "video_url"}
        assert "the network volume failed: its files cannot be written: No space left" in failures(answer)[0]

    def test_a_read_only_volume_is_none(self, send: Send, tmp_path: Path) -> None:
        with mounted(tmp_path / "volume", "ro"), pytest.raises(InvalidInput, match="volume is not available"):
            send({"VOLUME_DIR": str(tmp_path / "volume")}, delivery="volume")


class TestFailingBucket:
    def test_one_that_refuses_connections_is_told_and_the_reply_has_the_clip(self, send: Send) -> None:
        answer = send(bucket_environ(f"http://127.0.0.1:{find_free_port()}"), output="video")
        assert told(answer, "encoding") == ["video_url"]
        assert failures(answer) == [
            "the bucket failed: the upload failed with EndpointConnectionError: nothing answers at the endpoint; "
            "the files are in the reply"
        ]

    def test_one_that_takes_too_long_is_given_up_in_time(self, s3: str, send: Send) -> None:
        with Proxy(s3, pause=0.3) as slow:
            start = time.monotonic()
            answer = send(bucket_environ(slow.url, BUCKET_TIMEOUT="1"), width=256, height=256, frame_format="png")
        assert answer["timings"]["deliver"] < 5
        assert time.monotonic() - start < 15
        assert "longer than 1 s" in failures(answer)[0]

    def test_one_that_hangs_up_half_way_gets_the_file_at_the_next_attempt(self, s3: str, send: Send) -> None:
        with Proxy(s3, cut_after=1024, cuts=1) as proxy:
            answer = send(bucket_environ(proxy.url), width=256, height=256, output="video")
            assert failures(answer) == []
            assert proxy.connections > 1
            video = requests.get(answer["outputs"][0]["data"], timeout=10).content
        with av.open(io.BytesIO(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5

    def test_with_no_room_in_the_reply_the_volume_has_the_clip_and_both_failures_are_told(
        self, send: Send, tmp_path: Path
    ) -> None:
        with refusing(403, "AccessDenied") as url:
            environ = bucket_environ(url, VOLUME_DIR=str(tmp_path), REPLY_LIMIT_MB="0.003")
            answer = send(environ, output="video")
        assert told(answer, "encoding") == ["volume"]
        assert Path(answer["outputs"][0]["path"]).stat().st_size > 1000
        assert [warning.split(":")[0] for warning in failures(answer)] == ["the bucket failed", "the reply failed"]

    def test_a_cancelled_job_ends_in_the_middle_of_its_upload(self, s3: str, send: Send) -> None:
        cancelled = threading.Event()
        with Proxy(s3, pause=0.5) as slow:
            canceller = threading.Thread(target=cancel_at_first_connection, args=(slow, cancelled))
            canceller.start()
            with pytest.raises(JobCancelled):
                send(bucket_environ(slow.url), cancelled, width=256, height=256, frame_format="png")
            canceller.join()


def cancel_at_first_connection(proxy: Proxy, cancelled: threading.Event) -> None:
    while not proxy.connections:
        time.sleep(0.01)
    cancelled.set()


def test_files_that_no_way_takes_stay_on_the_disk_and_the_error_tells_where(
    engine: preview.Engine, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    with refusing(403, "AccessDenied") as url, pytest.raises(OutputFailed) as caught:
        send(bucket_environ(url, REPLY_LIMIT_MB="0.003"), num_frames=5)
    folder = Path(engine.home) / caught.value.answer()["recovered"]
    assert folder == Path(engine.home) / "output" / "recovered" / "sync-1a2b"
    assert str(folder) in caplog.text
    assert "AccessDenied" in caught.value.message
    assert caught.value.details["limit_bytes"] == 2970
    assert {path.suffix for path in folder.rglob("*.*")} >= {".mp4"}
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 6


def test_only_the_latest_undelivered_jobs_stay_on_the_disk(tmp_path: Path) -> None:
    for number in range(13):
        scope = Scope(tmp_path)
        (tmp_path / "output" / scope.name).mkdir(parents=True)
        (tmp_path / "output" / scope.name / "a.png").write_bytes(b"x")
        with pytest.raises(OutputFailed, match="lost") as caught, scope.keeping(f"id-{number}"):
            raise OutputFailed("lost")
        assert caught.value.details["recovered"] == f"output/recovered/id-{number}"
    assert len(list((tmp_path / "output" / "recovered").iterdir())) == 10
    assert (tmp_path / "output" / "recovered" / "id-12" / "a.png").read_bytes() == b"x"


def upload(endpoint: str, data: bytes = b"a video", **changes: Any) -> str:
    options = {"name": "clips", "prefix": "", "expiry": 600, "timeout": 30, **changes}
    item = Item("job/a.mp4", data, "video/mp4")
    return storage.upload(Bucket(endpoint, KEY, SECRET, **options), [item], threading.Event())[0]


class TestReasons:
    def test_keys_that_are_not_known_are_told(self, s3: str) -> None:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)
        try:
            with pytest.raises(OutputFailed, match="InvalidAccessKeyId: the access key is not known there"):
                upload(s3)
        finally:
            requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)

    def test_a_bucket_that_does_not_exist_is_told(self, s3: str) -> None:
        with pytest.raises(OutputFailed, match="NoSuchBucket: there is no such bucket"):
            upload(s3, name="missing")

    @pytest.mark.parametrize(
        ("status", "code", "words"),
        [
            (403, "RequestTimeTooSkewed", "clock"),
            (403, "SignatureDoesNotMatch", "secret key"),
            (403, "&lt;b>", "with HTTP 403"),
        ],
    )
    def test_its_reason_is_told_and_nothing_secret(
        self, caplog: pytest.LogCaptureFixture, status: int, code: str, words: str
    ) -> None:
        caplog.set_level(logging.DEBUG, "worker")
        with refusing(status, code) as url, pytest.raises(OutputFailed, match=words) as caught:
            upload(url)
        assert "upload failed" in caplog.text
        for text in (str(caught.value.answer()), caplog.text):
            assert not any(secret in text for secret in (KEY, SECRET, "10.1.2.3", "X-Amz", url))


def test_uploads_carry_no_checksum_that_r2_or_gcs_would_refuse() -> None:
    seen: list[dict[str, str]] = []
    with refusing(403, "AccessDenied", seen) as url, pytest.raises(OutputFailed):
        upload(url)
    assert seen[0]["content-type"] == "video/mp4"
    assert seen[0]["content-length"] == "7"
    assert not [name for name in seen[0] if "checksum" in name or name in {"content-encoding", "transfer-encoding"}]


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://clips.s3.eu-west-3.amazonaws.com", "eu-west-3"),
        ("https://clips.s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://clips.fra1.digitaloceanspaces.com", "fra1"),
        ("https://s3api-eu-ro-1.runpod.io", "eu-ro-1"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://clips.s3.amazonaws.com", "us-east-1"),
        ("https://0123abcd.r2.cloudflarestorage.com/clips", "us-east-1"),
        ("https://storage.googleapis.com", "us-east-1"),
        ("http://minio:9000", "us-east-1"),
    ],
)
def test_requests_are_signed_for_the_region_that_the_endpoint_names(endpoint: str, region: str) -> None:
    assert storage.region_of(Bucket(endpoint, KEY, SECRET, "clips", "", 600, 30)) == region


class TestLargeFiles:
    DATA = bytes(range(256)) * 80_000  # 20.48 MB: three parts

    def test_they_go_up_in_parts_and_come_back_whole(self, s3: str) -> None:
        response = requests.get(upload(s3, self.DATA, prefix="whole"), timeout=30)
        assert response.headers["Content-Type"] == "video/mp4"
        assert response.headers["ETag"].strip('"').endswith("-3")
        assert response.content == self.DATA

    def test_a_part_that_is_cut_off_is_sent_again(self, s3: str) -> None:
        with Proxy(s3, cut_after=1_000_000, cuts=3) as proxy:
            url = upload(proxy.url, self.DATA, prefix="cut")
            assert requests.get(url, timeout=30).content == self.DATA
            assert proxy.connections > 3

    def test_no_part_of_one_that_fails_stays_in_the_bucket(self, s3: str) -> None:
        with Proxy(s3, cut_after=1_000_000, cuts=10**6) as proxy, pytest.raises(OutputFailed, match="ConnectionClosed"):
            upload(proxy.url, self.DATA, prefix="failed")
        client = boto3.client("s3", endpoint_url=s3, **KEYS)
        assert "Uploads" not in client.list_multipart_uploads(Bucket="clips")
        assert "Contents" not in client.list_objects_v2(Bucket="clips", Prefix="failed")
