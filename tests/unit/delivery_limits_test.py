"""The platform's limits, reached: a reply that it would lose is never sent, and a job's id is no path."""

import base64
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import gradient, small_job
from worker import config
from worker.errors import InvalidInput, OutputFailed
from worker.input import s3_config
from worker.input.request import parse
from worker.output.delivery import Delivery
from worker.output.file import OutputFile
from worker.output.video import inspect

RUN, RUNSYNC = 10_000_000, 20_000_000


def send(job_id: object, size: int, tmp_path: Path, **fields: Any) -> dict[str, Any]:
    """Deliver a video of `size` bytes; the answer."""
    settings = config.read({"VOLUME_DIR": str(tmp_path)})
    request = parse(small_job(delivery="inline", output="video", **fields), settings)
    delivery = Delivery({"id": job_id}, request, settings, threading.Event())
    return delivery.send([OutputFile("clip.mp4", os.urandom(size))], {"status": "success", "warnings": []})


@pytest.mark.parametrize(("job_id", "limit"), [("0f0e-u1", RUN), ("sync-0f0e-u1", RUNSYNC), (None, RUN), (5, RUN)])
def test_a_reply_may_be_as_long_as_the_platform_takes_by_that_route_and_no_longer(
    tmp_path: Path, job_id: object, limit: int
) -> None:
    fits, does_not = int(limit * 0.97 * 3 / 4), int(limit * 3 / 4)
    answer = send(job_id, fits, tmp_path / "none")
    assert limit * 0.95 < len(json.dumps({"output": answer}).encode()) < limit
    with pytest.raises(OutputFailed) as caught:
        send(job_id, does_not, tmp_path / "none")
    assert caught.value.details["limit_bytes"] < limit


@pytest.mark.parametrize(
    "job_id", ["../../escaped", "{0}/escaped", "a/b", "..", "x" * 1000, "\0", "\n", "猫", {"a": 1}]
)
def test_a_jobs_id_is_one_folder_below_outputs(tmp_path: Path, job_id: object) -> None:
    settings = config.read({"VOLUME_DIR": str(tmp_path / "volume")})
    (tmp_path / "volume").mkdir()
    job_id = job_id.format(tmp_path) if isinstance(job_id, str) else job_id
    delivery = Delivery({"id": job_id}, parse(small_job(delivery="volume"), settings), settings, threading.Event())
    delivery.send([OutputFile("clip.mp4", b"x")], {"warnings": []})
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent.parent == tmp_path / "volume" / "outputs"


@pytest.mark.parametrize(
    "url",
    [
        *("https://user:key@s3.example", "https://s3.example/?a=b", "https://s3.example/#a", "ftp://s3.example"),
        *(
            "s3.example",
            "at https://s3.example",
            "https://",
            "https://s3 .example",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https:///a",
        ),
    ],
)
def test_an_endpoint_of_a_jobs_own_is_a_plain_http_address(url: str) -> None:
    own = {"accessId": "a", "accessSecret": "b", "endpointUrl": url}
    with pytest.raises(InvalidInput, match=r"s3Config\.endpointUrl: must be an http"):
        s3_config.parse(own, config.read({}))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.webm", "clip.mkv"])
def test_a_playlist_under_a_videos_name_is_not_followed(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(b"G" * 188 * 100)
    playlists = (
        f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n",
        f"ffconcat version 1.0\nfile {secret}\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
    )
    for playlist in playlists:
        with pytest.raises(OutputFailed, match="cannot be decoded"):
            inspect(OutputFile(name, playlist.encode()))


def test_the_answer_tells_where_on_the_volume_the_files_lie(tmp_path: Path) -> None:
    environ = {"VOLUME_DIR": str(tmp_path), "RUNPOD_DC_ID": "EU-RO-1", "RUNPOD_VOLUME_ID": "vol123"}
    answers = []
    for changes in ({}, {"RUNPOD_VOLUME_ID": ""}, {"RUNPOD_DC_ID": ""}):
        settings = config.read({**environ, **changes})
        delivery = Delivery({"id": "a"}, parse(small_job(delivery="volume"), settings), settings, threading.Event())
        assert delivery.ways == ("volume", "inline")
        files = [OutputFile("clip.mp4", b"x"), OutputFile("a.flac", b"y")]
        answers.append(delivery.send(files, {"warnings": ["w"]}))
    path = tmp_path / "outputs" / "a" / "clip.mp4"
    place = {"endpoint_url": "https://s3api-eu-ro-1.runpod.io", "region": "EU-RO-1", "bucket": "vol123"}
    assert answers[0]["warnings"] == ["w"]
    assert answers[0]["outputs"][0] == {
        "type": "video",
        "filename": "clip.mp4",
        "mime_type": "video/mp4",
        "encoding": "volume",
        "path": str(path),
        "s3": {**place, "key": "outputs/a/clip.mp4"},
    }
    assert not any("s3" in entry for answer in answers[1:] for entry in answer["outputs"])
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["a.flac", "clip.mp4"]
    assert path.read_bytes() == b"x"


def test_a_way_that_fails_is_told_and_the_next_is_taken_and_all_failures_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "outputs").touch()
    for limit, workflow in ((9.0, None), (0.0001, None), (0.0001, {"1": {"class_type": "SaveVideo", "inputs": {}}})):
        settings = config.read({"VOLUME_DIR": str(tmp_path), "REPLY_LIMIT_MB": str(limit)})
        fields = {"workflow": workflow} if workflow else small_job()
        request = parse({**fields, "delivery": "volume"}, settings)
        delivery = Delivery({"id": "a"}, request, settings, threading.Event())
        if limit > 1:
            answer = delivery.send([OutputFile("clip.mp4", b"x")], {"warnings": ["w"]})
            assert answer["video_url"] == "data:video/mp4;base64,eA=="
            assert answer["warnings"][0] == "w"
            assert re.fullmatch("the network volume failed: .*; the files are in the reply", answer["warnings"][1])
            continue
        with pytest.raises(OutputFailed, match=r"^the network volume failed: .*; the reply failed: ") as caught:
            delivery.send([OutputFile("clip.mp4", b"x")], {"warnings": ["w"]})
        assert caught.value.details == {"limit_bytes": 99, "video_bytes": 1, "image_bytes": 0}


def test_a_workflows_images_go_in_a_list_as_saved(tmp_path: Path) -> None:
    settings = config.read({"VOLUME_DIR": str(tmp_path / "none")})
    request = parse({"workflow": {"1": {"class_type": "SaveImage", "inputs": {}}}}, settings)
    answer = Delivery({"id": "a"}, request, settings, threading.Event()).send(
        [OutputFile("a.png", base64.b64decode(gradient()))], {"warnings": []}
    )
    assert answer["images"] == [{"filename": "a.png", "type": "base64", "data": gradient()}]


@pytest.mark.parametrize("way", ["bucket", "volume"])
def test_a_way_that_is_not_there_is_an_input_error(way: str, tmp_path: Path) -> None:
    settings = config.read({"VOLUME_DIR": str(tmp_path / "none")})
    with pytest.raises(InvalidInput) as caught:
        Delivery({"id": "a"}, parse(small_job(delivery=way), settings), settings, threading.Event())
    assert caught.value.details["fields"].keys() == {"delivery"}
    assert caught.value.message.startswith(f"delivery: {way} is not available")
