"""The programs with the real handler.py and the preview engine: a picture in, files on disk."""

import os
import subprocess
import sys
from pathlib import Path

import av

from tests.scripts.played_endpoint import ROOT, assert_fails

SMALL = ("--width", "256", "--height", "192", "--frames", "6", "--steps", "2")
NO_COMFYUI = {"COMFYUI_URL": "", "COMFYUI_PORT": "9", "COMFYUI_DIR": ""}


def run(folder: Path, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run one of the root's programs in `folder`, where no ComfyUI answers."""
    command = [sys.executable, str(ROOT / name), *arguments]
    environment = {**os.environ, **NO_COMFYUI}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def assert_clip_and_frames(done: "subprocess.CompletedProcess[str]", folder: Path) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "256x192, 6 frames, 24 fps" in done.stdout
    assert "preview" in done.stdout
    (clip,) = folder.glob("outputs/*/clip.*")
    with av.open(str(clip)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 6
    assert len(list(clip.parent.glob("frame_*"))) == 6
    assert "Processing job" in (clip.parent / "worker.log").read_text()


def test_a_started_worker_makes_the_clip_and_its_log_lies_beside_it(tmp_path: Path) -> None:
    assert_clip_and_frames(run(tmp_path, "test_runpod_local.py", "sync", "--start-worker", *SMALL), tmp_path)


def test_a_job_in_this_process_makes_the_clip_and_its_log_lies_beside_it(tmp_path: Path) -> None:
    assert_clip_and_frames(run(tmp_path, "test_handler_directly.py", *SMALL), tmp_path)


def test_a_job_that_the_worker_refuses_is_one_line_and_exit_1(tmp_path: Path) -> None:
    assert_fails(run(tmp_path, "test_handler_directly.py", "--width", "100"), "test_handler_directly.py: ", "width")
