"""A node can say of a file what it likes: nothing outside ComfyUI's output and temp folders is read or removed."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disks import mounted
from worker.comfyui import SavedFile, Scope
from worker.comfyui.folders import sweep
from worker.errors import OutputFailed


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    home = tmp_path / "comfyui"
    for path in ("output/job/own.png", "temp/own.png", "input/other.png", "models/model.safetensors", "../secret"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(b"content")
    return home


def saved(filename: str, subfolder: str = "", folder: str = "output") -> SavedFile:
    return SavedFile("9", filename, subfolder, folder, animated=False)


@pytest.mark.parametrize("file", [saved("own.png", "job"), saved("own.png", folder="temp")])
def test_a_saved_file_is_read_and_removed(comfyui: Path, file: SavedFile) -> None:
    with Scope(comfyui) as scope:
        scope.own([file])
        assert scope.read(file) == b"content"
    assert scope.read(file) is None


@pytest.mark.parametrize(
    "file",
    [
        saved("secret", "../.."),
        saved("../../secret"),
        saved("secret", folder=".."),
        saved("model.safetensors", folder="models"),
        saved("model.safetensors", "../models"),
        saved("other.png", folder="input"),
        saved("", "", folder="output"),
    ],
)
def test_what_lies_elsewhere_is_neither_read_nor_removed(comfyui: Path, file: SavedFile) -> None:
    before = sorted(comfyui.parent.rglob("*"))
    with Scope(comfyui) as scope:
        scope.own([file])
        assert scope.read(file) is None
    assert sorted(comfyui.parent.rglob("*")) == before


def test_a_link_out_of_the_folder_is_not_followed(comfyui: Path) -> None:
    (comfyui / "output" / "link.png").symlink_to(comfyui.parent / "secret")
    assert Scope(comfyui).read(saved("link.png")) is None


class TestCleaningNeverRaises:
    """By the time a scope is left the job has its answer."""

    ODD = (
        saved("x" * 300),
        saved("a", "/".join(["x" * 200] * 30)),
        saved("nul\0"),
        saved("loop"),
        saved("loop/deeper"),
        saved("a_folder"),
        saved("own.png/below_a_file"),
        saved("\ud800"),
        saved("", folder="temp"),
    )

    @pytest.mark.parametrize("file", ODD, ids=range(len(ODD)))
    def test_whatever_a_file_is_called(self, comfyui: Path, file: SavedFile, caplog: pytest.LogCaptureFixture) -> None:
        (comfyui / "output" / "loop").symlink_to("loop")
        (comfyui / "output" / "a_folder" / "inside").mkdir(parents=True)
        with Scope(comfyui) as scope:
            scope.own([file])
            assert scope.read(file) is None
        assert len(caplog.records) <= 1
        assert (comfyui / "output" / "job" / "own.png").exists()

    def test_in_a_folder_that_cannot_be_written_and_it_is_told_once(
        self, comfyui: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with mounted(comfyui / "output", "size=1m"):
            with Scope(comfyui) as scope:
                folder = comfyui / "output" / scope.name
                folder.mkdir()
                files = [folder / f"{number}.png" for number in range(9)]
                for file in files:
                    file.write_bytes(b"x")
                scope.own([saved(file.name, scope.name) for file in files])
                subprocess.run(["mount", "-o", "remount,ro", comfyui / "output"], check=True)
                with pytest.raises(OutputFailed, match="lost") as caught, scope.keeping("id"):
                    raise OutputFailed("lost")
                assert "recovered" not in caught.value.details
            assert [record.message for record in caught_cleaning(caplog)] != []
            assert len(caught_cleaning(caplog)) == 1

    def test_of_a_pipe_that_nobody_writes_to(self, comfyui: Path) -> None:
        os.mkfifo(comfyui / "output" / "pipe")
        with Scope(comfyui) as scope:
            scope.own([saved("pipe")])
            assert scope.read(saved("pipe")) is None  # and does not wait for it


def caught_cleaning(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "cannot be removed" in record.msg]


class TestSweep:
    def test_what_a_killed_worker_left_is_removed_and_nothing_else(self, comfyui: Path) -> None:
        mine = [comfyui / folder / Scope(None).name / "a.png" for folder in ("input", "output")]
        others = [comfyui / "output" / name / "a.png" for name in ("job-1", "recovered", "job")]
        for path in (*mine, *others):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
        # In a process of its own, which holds the lock no longer once it has ended.
        subprocess.run([sys.executable, "-c", SWEEP, str(comfyui)], check=True)
        assert not any(path.parent.exists() for path in mine)
        assert all(path.exists() for path in others)

    def test_nothing_of_a_worker_that_lives(self, comfyui: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", f"{SWEEP}; print(flush=True); sys.stdin.read()", str(comfyui)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdin
            assert other.stdout
            other.stdout.readline()
            (comfyui / "input" / Scope(None).name).mkdir()
            subprocess.run([sys.executable, "-c", SWEEP, str(comfyui)], check=True)
            assert len(list((comfyui / "input").iterdir())) == 2
            other.stdin.close()

    def test_a_home_without_folders_is_none_of_its_business(self, tmp_path: Path) -> None:
        sweep(tmp_path)


SWEEP = "import sys, pathlib; from worker.comfyui.folders import sweep; sweep(pathlib.Path(sys.argv[1]))"


def test_an_image_lies_where_the_same_image_of_an_earlier_job_lay_and_is_gone_after_each(comfyui: Path) -> None:
    names = []
    for _ in range(2):
        with Scope(comfyui) as scope:
            names.append(scope.place(b"picture"))
            assert scope.place(b"another") != names[-1]
            (comfyui / "input" / names[-1]).mkdir()
            (comfyui / "input" / names[-1] / "image.png").write_bytes(b"picture")
        assert sorted(path.name for path in (comfyui / "input").iterdir()) == ["other.png"]
    assert names[0] == names[1]


def test_two_jobs_at_once_with_the_same_image_have_folders_of_their_own(comfyui: Path) -> None:
    with Scope(comfyui) as first, Scope(comfyui) as second:
        names = [scope.place(b"picture") for scope in (first, second)]
        for name in names:
            (comfyui / "input" / name).mkdir()
        second.__exit__()
        assert (comfyui / "input" / names[0]).is_dir()
        assert not (comfyui / "input" / names[1]).exists()
    with Scope(comfyui) as third:
        assert third.place(b"picture") == names[0]


def test_an_image_is_written_once_an_upload_was_seen_to_arrive(comfyui: Path) -> None:
    uploaded = []

    def upload(data: bytes, filename: str, subfolder: str) -> str:
        uploaded.append(data)
        (comfyui / "input" / subfolder).mkdir(exist_ok=True)
        (comfyui / "input" / subfolder / filename).write_bytes(data)
        return f"{subfolder}/{filename}"

    for picture in (b"first", b"second"):
        with Scope(comfyui) as scope:
            name = scope.put(picture, "image.png", upload)
            assert (comfyui / "input" / name).read_bytes() == picture
        assert not (comfyui / "input" / name).exists()
    assert uploaded == [b"first"]
    with Scope(comfyui) as scope:
        (comfyui / "input").rename(comfyui / "away")
        (comfyui / "input").touch()  # nothing can be written there
        with pytest.raises(NotADirectoryError):
            scope.put(b"third", "image.png", upload)


def test_an_image_is_uploaded_to_a_comfyui_whose_folder_is_another(comfyui: Path) -> None:
    uploaded = []

    def upload(data: bytes, filename: str, subfolder: str) -> str:
        uploaded.append(data)
        return f"elsewhere/{filename}"

    for _ in range(2):
        with Scope(comfyui) as scope:
            assert scope.put(b"picture", "image.png", upload) == "elsewhere/image.png"
    assert len(uploaded) == 2


def test_another_process_has_other_folders(comfyui: Path) -> None:
    program = "from worker.comfyui import Scope; print(Scope(None).place(b'picture'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() != Scope(None).place(b"picture")
