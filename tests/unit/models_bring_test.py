"""Models from a volume to ComfyUI's folder: real files, real processes."""

import functools
import http.server
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_files import MODELS, VAE, make_header
from worker import catalogue, config
from worker.errors import ModelError
from worker.models import bring, transfer
from worker.models.transfer import Copy

ROOT = Path(__file__).parents[2]
HUB = "models--Comfy-Org--HunyuanVideo_1.5_repackaged"


def write_model(path: Path, model: catalogue.ModelFile, size: int = 5000) -> None:
    """A safetensors file of `size` bytes of data; a large one is a hole, which takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        start = file.write(make_header(model, size))
        file.write(os.urandom(min(size, 2**20)))
        file.truncate(start + size)


def fill(folder: Path, size: int = 5000) -> None:
    for model in MODELS:
        write_model(folder / model.path, model, size)


class Place:
    """A volume and a models folder, and what `bring` logs."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume"
        self.target = folder / "comfyui" / "models"
        self.environ = {"VOLUME_DIR": str(self.volume), "MODELS_DIR": str(self.target)}

    def bring(self, **environ: str) -> None:
        bring.bring(config.read_models({**self.environ, **environ}))

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.target)): path.read_bytes() for path in self.target.rglob("*") if path.is_file()
        }


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Place:
    caplog.set_level(logging.INFO)
    return Place(tmp_path)


@pytest.mark.parametrize(
    "layout",
    [
        *("", "models", "ComfyUI/models", "runpod-slim/ComfyUI/models"),
        *(f"hub/{HUB}/snapshots/{revision}/split_files" for revision in ("abc", "main")),
    ],
)
def test_models_are_copied_from_each_layout(place: Place, layout: str) -> None:
    fill(place.volume / layout)
    place.bring()
    assert place.files() == {str(m.path): (place.volume / layout / m.path).read_bytes() for m in MODELS}
    assert not any(path.is_symlink() for path in place.target.rglob("*"))


def test_the_hub_caches_links_to_blobs_are_followed(place: Place) -> None:
    cache = place.volume / "hub" / HUB
    fill(cache / "blobs")
    for model in MODELS:
        link = cache / "snapshots" / "abc" / "split_files" / model.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(cache / "blobs" / model.path, link.parent))
    place.bring(MODELS_MODE="link")
    assert (place.target / VAE.path).resolve() == cache / "blobs" / VAE.path


def test_models_are_found_in_the_folders_of_comfyuis_old_names(place: Place) -> None:
    fill(place.volume / "models")
    for new, old in (("diffusion_models", "unet"), ("text_encoders", "clip")):
        (place.volume / "models" / new).rename(place.volume / "models" / old)
    place.bring()
    assert place.files().keys() == {str(model.path) for model in MODELS}


def test_the_platforms_cached_model_is_linked_in_the_revision_that_the_cache_names(place: Place) -> None:
    repository = place.volume / "huggingface-cache" / "hub" / HUB
    for commit in ("111", "222", "333"):
        fill(repository / "snapshots" / commit / "split_files")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("222\n")
    place.bring()
    snapshot = repository / "snapshots" / "222" / "split_files"
    assert all((place.target / model.path).readlink() == snapshot / model.path for model in MODELS)


def test_the_platforms_cached_model_is_copied_where_that_is_set(place: Place) -> None:
    fill(place.volume / "huggingface-cache" / "hub" / HUB / "snapshots" / "111" / "split_files")
    place.bring(MODELS_MODE="copy")
    assert not any(path.is_symlink() for path in place.target.rglob("*"))


def test_files_of_many_chunks_and_odd_sizes_arrive_whole(tmp_path: Path) -> None:
    sizes = (0, 1, transfer.CHUNK, transfer.CHUNK * 2 + 12345)
    copies = []
    for number, size in enumerate(sizes):
        source = tmp_path / f"source{number}"
        with source.open("wb") as file:
            file.write(os.urandom(size))
        copies.append(Copy(source, tmp_path / "target" / str(number)))
    counter = transfer.Counter()
    transfer.copy(copies, 4, lambda item: None, counter)
    assert all(item.source.read_bytes() == item.target.read_bytes() for item in copies)
    assert counter.bytes == sum(sizes)


def test_models_in_place_are_left_alone(place: Place) -> None:
    fill(place.target)
    before = {path: path.stat().st_ino for path in place.target.rglob("*.safetensors")}
    place.bring()
    assert {path: path.stat().st_ino for path in place.target.rglob("*.safetensors")} == before


def test_a_broken_model_in_place_is_replaced(place: Place) -> None:
    fill(place.volume)
    fill(place.target)
    (place.target / VAE.path).write_bytes(b"")
    place.bring()
    assert (place.target / VAE.path).read_bytes() == (place.volume / VAE.path).read_bytes()


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[str]:
    """A server that has nothing."""
    (tmp_path / "empty").mkdir()
    answer = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "empty"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_cut_file_on_the_volume_is_named_and_never_put_in_place(
    place: Place, empty_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(place.volume)
    os.truncate(place.volume / VAE.path, 4000)
    with pytest.raises(ModelError, match=f"{VAE.name}: {empty_server}/x answers 404: is the URL right"):
        place.bring(HUNYUAN_VAE_URL=f"{empty_server}/x")
    assert f"{place.volume / VAE.path} is cut: 4,000 of" in caplog.text
    assert not (place.target / VAE.path).exists()


def test_a_whole_copy_in_a_later_layout_wins_over_a_broken_one(place: Place) -> None:
    fill(place.volume / "models")
    (place.volume / "models" / VAE.path).write_bytes(b"<html>")
    write_model(place.volume / VAE.path, VAE)
    place.bring()
    assert (place.target / VAE.path).read_bytes() == (place.volume / VAE.path).read_bytes()


def test_without_room_for_a_copy_the_models_are_linked(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    fill(place.volume)
    write_model(place.volume / VAE.path, VAE, size=10**12)
    place.bring()
    assert all((place.target / model.path).resolve() == place.volume / model.path for model in MODELS)
    assert "linked 5 models, 1000.00 GB" in caplog.text


def test_a_copy_that_was_asked_for_and_has_no_room_is_refused_before_it_begins(place: Place) -> None:
    fill(place.volume)
    write_model(place.volume / VAE.path, VAE, size=10**12)
    with pytest.raises(ModelError, match=r"the models need 1000.00 GB, .* MODELS_MODE=link"):
        place.bring(MODELS_MODE="copy")
    assert place.files() == {}


def test_a_failing_write_leaves_nothing_behind(place: Place) -> None:
    fill(place.volume, size=3_000_000)
    command = f"ulimit -f 1000; exec {sys.executable} -m worker.models bring"  # in blocks of 1024 bytes
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, **place.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"copying to {place.target} failed: [Errno 27] File too large" in done.stdout
    assert place.files() == {}


def test_a_killed_copy_is_never_taken_for_a_model_and_the_next_one_is_whole(place: Place) -> None:
    fill(place.volume, size=60_000_000)
    command = [sys.executable, "-m", "worker.models", "bring"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **place.environ}, stdout=subprocess.DEVNULL) as process:
        while not list(place.target.rglob("*.part")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    left = sorted(path.name for path in place.target.rglob("*.safetensors*"))
    assert any(name.endswith(".part") for name in left)
    place.bring()
    assert sorted(path.name for path in place.target.rglob("*.*")) == sorted(model.name for model in MODELS)
    assert bring.check(config.read_models(place.environ))
    shutil.rmtree(place.target)


def test_links_are_read_ahead_in_the_order_of_the_graph(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    fill(place.volume)
    place.bring(MODELS_MODE="link")
    bring.warm(config.read_models(place.environ))
    assert "read ahead: done, 0.00 of 0.00 GB" in caplog.text


def test_reading_ahead_stops_where_memory_ends(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(4)]
    for path in paths:
        path.write_bytes(bytes(1000))
    counter = transfer.Counter()
    transfer.warm(paths, 1, 1500, counter)
    assert counter.bytes == 2000


def test_the_memory_of_a_container_limits_reading_ahead(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    assert bring.available_memory(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert bring.available_memory(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert bring.available_memory(meminfo, tmp_path) == 3000
    (tmp_path / "memory.current").write_text("6000\n")
    assert bring.available_memory(meminfo, tmp_path) == 0
    (tmp_path / "memory.max").write_text("9000000\n")
    assert bring.available_memory(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("7000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("1000\n")
    assert bring.available_memory(meminfo, tmp_path) == 6000


def test_check_fails_where_a_model_is_missing(place: Place) -> None:
    fill(place.target)
    settings = config.read_models(place.environ)
    assert bring.check(settings) is True
    for model in MODELS:
        (place.target / model.path).rename(place.target / "away")
        assert bring.check(settings) is False
        (place.target / "away").rename(place.target / model.path)


def test_a_copy_that_fails_leaves_no_part_and_tells_which_file_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    copies = [Copy(tmp_path / name, tmp_path / "target" / name) for name in ("a", "b")]
    with pytest.raises(FileNotFoundError) as caught:
        transfer.copy(copies, 1, lambda item: None, transfer.Counter())
    assert caught.value.filename == str(tmp_path / "b")
    assert list((tmp_path / "target").iterdir()) == []
