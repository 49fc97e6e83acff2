"""test_runpod_local.py against an HTTP server that plays the endpoint as each test scripts it."""

import base64
import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.disks import mounted
from tests.scripts.played_endpoint import (
    FRAMES,
    PROGRESS,
    VIDEO,
    PlayedEndpoint,
    Program,
    assert_fails,
    completed,
    encode,
    make_answer,
    state,
)


def test_sync_saves_the_clip_its_frames_and_the_answer_without_data(
    endpoint: PlayedEndpoint, program: Program, tmp_path: Path
) -> None:
    done = program("sync", "--url", endpoint.url)
    folder = tmp_path / "outputs" / "job-1"
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "clip.webm").read_bytes() == VIDEO
    assert [path.read_bytes() for path in sorted(folder.glob("frame_*.jpg"))] == FRAMES
    record = json.loads((folder / "answer.json").read_text())
    assert [entry["file"] for entry in record["outputs"]][:2] == ["clip.webm", "frame_0001.jpg"]
    assert "data" not in json.dumps(record)


def test_the_end_tells_files_measures_timings_and_warnings(endpoint: PlayedEndpoint, called: Program) -> None:
    printed = called("sync", "--url", endpoint.url).stdout
    for words in ("job-1/clip.webm", "848x480", "3 frames", "24 fps", "seed 7", "on the worker 2.00", "total 1.25"):
        assert words in printed
    assert "warning: this is a preview" in printed
    assert base64.b64encode(VIDEO).decode()[:40] not in printed


def test_async_follows_the_job_and_sends_only_what_was_given(
    endpoint: PlayedEndpoint, called: Program, tmp_path: Path
) -> None:
    endpoint.replies = [state("IN_QUEUE"), state("IN_PROGRESS", output=PROGRESS), completed()]
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a photo")
    done = called("async", "--url", endpoint.url, "--image", str(photo), "--frames", "3", "--fps", "12.5")
    assert done.returncode == 0, done.stderr
    assert endpoint.paths() == ["POST /run", "GET /status/job-1", "GET /status/job-1"]
    assert endpoint.seen[0][1] == {
        "input": {"image": base64.b64encode(b"a photo").decode(), "num_frames": 3, "fps": 12.5}
    }


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the program's own lines are looked at."""


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """The URL of a folder that holds clip.mp4."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(VIDEO)
    serve = functools.partial(QuietFiles, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_in_a_bucket_are_fetched(endpoint: PlayedEndpoint, called: Program, bucket: str, tmp_path: Path) -> None:
    entry = {**encode("video", "clip.mp4", b""), "encoding": "url", "data": f"{bucket}/clip.mp4"}
    endpoint.replies = [completed(outputs=[entry])]
    assert called("sync", "--url", endpoint.url, "--output", "video").returncode == 0
    assert (tmp_path / "outputs" / "job-1" / "clip.mp4").read_bytes() == VIDEO


def test_a_file_gone_from_its_bucket_is_one_line_without_its_address(
    endpoint: PlayedEndpoint, called: Program, bucket: str
) -> None:
    entry = {**encode("video", "clip.mp4", b""), "encoding": "url", "data": f"{bucket}/gone.mp4?Signature=secret"}
    endpoint.replies = [completed(outputs=[entry])]
    done = called("sync", "--url", endpoint.url, "--output", "video")
    assert_fails(done, "HTTP 404")
    assert "secret" not in done.stderr + done.stdout


def test_files_on_the_volume_are_named(endpoint: PlayedEndpoint, called: Program) -> None:
    entry = {"type": "video", "filename": "clip.mp4", "encoding": "volume", "path": "/runpod-volume/outputs/j/clip.mp4"}
    endpoint.replies = [completed(outputs=[entry])]
    done = called("sync", "--url", endpoint.url, "--output", "video")
    assert done.returncode == 0, done.stderr
    assert "/runpod-volume/outputs/j/clip.mp4" in done.stdout


def test_an_image_address_is_left_for_the_worker_to_fetch(endpoint: PlayedEndpoint, called: Program) -> None:
    called("sync", "--url", endpoint.url, "--image", "https://example.com/a.jpg", "--prompt", "waves")
    assert endpoint.seen[0][1] == {"input": {"image_url": "https://example.com/a.jpg", "prompt": "waves"}}


def test_without_an_image_the_sample_photograph_is_sent(endpoint: PlayedEndpoint, called: Program) -> None:
    called("sync", "--url", endpoint.url)
    job_input = endpoint.seen[0][1]["input"]
    assert base64.b64decode(job_input["image"]).startswith(b"\xff\xd8\xff")
    assert "rocket" in job_input["prompt"]


def test_both_runs_one_job_each_way(endpoint: PlayedEndpoint, called: Program, tmp_path: Path) -> None:
    endpoint.replies = [{**completed(), "id": "sync-1"}, {**completed(), "id": "async-1"}]
    assert called("both", "--url", endpoint.url).returncode == 0
    assert [path.split("?")[0] for path in endpoint.paths()] == ["POST /runsync", "POST /run"]
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["async-1", "sync-1"]


def test_health_is_told_in_words(endpoint: PlayedEndpoint, called: Program) -> None:
    done = called("health", "--url", endpoint.url)
    assert (done.returncode, done.stdout) == (0, "jobs: 4 completed, 2 in queue\nworkers: 1 idle\n")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (state("FAILED", error="invalid_input: steps: 0 is less than 1"), ["invalid_input: steps"]),
        (state("FAILED", error=json.dumps({"error_message": "boom", "error_traceback": "x\ny"})), ["FAILED: boom"]),
        (state("FAILED", error="A" * 5000), ["[data]"]),
        (state("TIMED_OUT"), ["TIMED_OUT", "execution timeout"]),
        (state("CANCELLED"), ["CANCELLED"]),
        (state("COMPLETED"), ["without output", "10 MB", "20 MB"]),
        (state("COMPLETED", output=PROGRESS), ["without output"]),
        (state("COMPLETED", output={"error": "timeout: too slow", "code": "timeout"}), ["timeout: too slow"]),
        (completed(outputs=[]), ["no outputs"]),
        (completed(outputs=make_answer()["outputs"][:3]), ["2 of 3 frames", "this is a preview", "outputs/job-1"]),
        (completed(outputs=[{**encode("video", "a.mp4", b""), "data": "%%%"}]), ["a.mp4 is damaged"]),
    ],
)
def test_a_job_that_ends_badly_is_one_line_and_exit_1(
    endpoint: PlayedEndpoint, called: Program, last: dict[str, Any], words: list[str]
) -> None:
    endpoint.replies = [last]
    assert_fails(called("sync", "--url", endpoint.url), *words)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((401, "no"), ["HTTP 401", "RUNPOD_API_KEY"]),
        ((400, "input is missing"), ["HTTP 400", "input is missing"]),
        ((200, "<html>"), ["JSON", "RunPod endpoint"]),
        ((200, "{}"), ["no job id", "RunPod endpoint"]),
    ],
)
def test_a_refused_request_is_one_line_and_exit_1(
    endpoint: PlayedEndpoint, called: Program, refusal: tuple[int, str], words: list[str]
) -> None:
    endpoint.refusals = [refusal]
    assert_fails(called("async", "--url", endpoint.url), *words)


def test_health_of_something_else_is_one_line_and_exit_1(endpoint: PlayedEndpoint, called: Program) -> None:
    endpoint.refusals = [(200, '{"ok": true}')]
    assert_fails(called("health", "--url", endpoint.url), "no counts", "RunPod endpoint")


def test_fewer_frames_than_asked_for_is_a_failure_also_where_only_the_video_is_wanted(
    endpoint: PlayedEndpoint, called: Program
) -> None:
    done = called("sync", "--url", endpoint.url, "--frames", "5", "--output", "video")
    assert_fails(done, "3 of 5 frames")


def test_nobody_listening_is_one_line_that_says_how_to_start_the_worker(program: Program) -> None:
    assert_fails(program("sync", "--url", "http://127.0.0.1:9"), "no connection", "make serve")


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"", "empty")])
def test_an_image_that_cannot_be_read_is_named(
    called: Program, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "photo.jpg").write_bytes(content)
    assert_fails(called("sync", "--image", str(tmp_path / "photo.jpg")), "--image", "photo.jpg", words)


def test_an_image_over_the_request_limit_is_not_sent(endpoint: PlayedEndpoint, called: Program, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(bytes(8_000_000))
    assert_fails(called("async", "--url", endpoint.url, "--image", str(photo)), "10.7 MB", "/run takes 10 MB")
    assert endpoint.seen == []


def test_wrong_options_are_one_line_and_exit_1(program: Program) -> None:
    assert_fails(program("sync", "--frames", "many"), "--frames", "--help")


def test_a_deployed_endpoint_gets_the_key_and_a_local_one_does_not(endpoint: PlayedEndpoint, program: Program) -> None:
    program("health", "--endpoint", "abc", "--api-base", endpoint.url, RUNPOD_API_KEY="secret")
    program("health", "--url", endpoint.url, RUNPOD_API_KEY="secret")
    assert endpoint.paths() == ["GET /abc/health", "GET /health"]
    assert endpoint.keys == ["Bearer secret", None]


def test_a_deployed_endpoint_without_a_key_is_refused_before_anything_is_sent(program: Program) -> None:
    assert_fails(program("sync", "--endpoint", "abc"), "RUNPOD_API_KEY")


class TestAPaidClip:
    """Nothing is sent that could not be saved, and nothing that was made is out of reach."""

    @pytest.mark.parametrize("mode", [["sync"], ["async"], ["--job", "job-1"]])
    def test_a_folder_that_cannot_be_written_is_named_before_anything_is_sent(
        self, endpoint: PlayedEndpoint, program: Program, tmp_path: Path, mode: list[str]
    ) -> None:
        with mounted(tmp_path / "disk", "ro"):
            done = program(*mode, "--url", endpoint.url, "--out", str(tmp_path / "disk"))
        assert_fails(done, "cannot write to", "choose another --out")
        assert endpoint.seen == []

    def test_a_disk_that_is_full_leaves_no_cut_file_and_the_job_can_be_fetched_again(
        self, endpoint: PlayedEndpoint, program: Program, tmp_path: Path
    ) -> None:
        large = encode("video", "clip.mp4", bytes(300_000))
        endpoint.replies = [completed(outputs=[large])]
        with mounted(tmp_path / "disk", "size=64k"):
            done = program("async", "--url", endpoint.url, "--out", str(tmp_path / "disk"), "--output", "video")
            assert_fails(done, "No space left", f"--url {endpoint.url} --job job-1 --out DIR")
            assert [path for path in (tmp_path / "disk").rglob("*") if path.is_file()] == []
        endpoint.seen.clear()
        done = program("--job", "job-1", "--url", endpoint.url, "--output", "video", "--out", str(tmp_path / "other"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "other" / "job-1" / "clip.mp4").read_bytes() == bytes(300_000)
        assert endpoint.paths() == ["GET /status/job-1"]

    def test_a_job_that_still_runs_is_followed_and_never_cancelled(
        self, endpoint: PlayedEndpoint, program: Program, tmp_path: Path
    ) -> None:
        endpoint.replies = [state("IN_PROGRESS", output=PROGRESS), completed()]
        assert program("--job", "job-1", "--url", endpoint.url).returncode == 0
        endpoint.replies = [state("IN_QUEUE")]
        assert_fails(program("--job", "job-1", "--url", endpoint.url, "--timeout", "1"), "still IN_QUEUE")
        assert not any("cancel" in path for path in endpoint.paths())

    @pytest.mark.parametrize("arguments", [[], ["sync", "--job", "job-1"]])
    def test_it_is_either_a_mode_or_a_job(self, program: Program, arguments: list[str]) -> None:
        assert_fails(program(*arguments), "--job")
