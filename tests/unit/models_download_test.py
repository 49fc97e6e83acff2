"""Downloads from a real server that cuts, refuses, lies and waits; two workers on one volume."""

import hashlib
import http.server
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli

from tests.model_files import MODELS, VAE, make_model
from worker import config
from worker.catalogue import CATALOGUE, MODEL_URLS
from worker.errors import ModelError
from worker.models import bring, download, source, transfer, volume
from worker.models.download import stage

SIZE = 1_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Server:
    """What the server has, and how it fails."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    version: str = "v1"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Of answers other than 200."""
    refusals: int = 0
    """So many requests are answered 429."""
    cuts: int = 0
    """So many answers break off in their middle."""
    gone: bool = False
    """After a cut, nothing is there any more."""
    ranges: bool = True
    delay: float = 0
    """Seconds before each answer's body."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Range of each request."""
    tokens: set[str] = field(default_factory=set)
    encodings: set[str] = field(default_factory=set)
    """Those accepted by whoever asked for a file."""


class Answer(http.server.BaseHTTPRequestHandler):
    """Files with Range and ETag, and the headers by which the Hugging Face hub names a file's version."""

    state: Server

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        state, name = self.state, self.path.partition("?")[0].rpartition("/")[2]
        first_look = self.headers.get("Range") == "bytes=0-0"
        if not first_look:
            state.requests.append((self.command, self.path, self.headers.get("Range", "")))
            state.encodings.add(self.headers.get("Accept-Encoding", ""))
        state.tokens.add(self.headers.get("Authorization", ""))
        content = state.files.get(name)
        refused, state.refusals = state.refusals > 0, max(state.refusals - (not first_look), 0)
        if content is None or state.status != 200 or refused:
            self.send_response(404 if content is None else 429 if refused else state.status)
            for name, value in {**state.headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if state.ranges else None
        self.send_response(206 if start else 200)
        body = content[int(start[1]) :] if start else content
        self.send_header("ETag", f'"{state.version}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if first_look:
            self.wfile.write(body[:1])
        elif self.command == "GET":
            self.send(body)

    def send(self, body: bytes) -> None:
        if self.state.cuts:
            self.state.cuts -= 1
            body = body[: len(body) // 2]
            self.state.status = 410 if self.state.gone else 200
        time.sleep(self.state.delay)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not to the test's output."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server(files={model.name: make_model(model, SIZE) for model in MODELS})
    answer = type("Bound", (Answer,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as listener:
        state.url = f"http://127.0.0.1:{listener.server_port}"
        threading.Thread(target=listener.serve_forever, args=(0.01,)).start()
        yield state
        listener.shutdown()


@pytest.fixture
def environ(tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The variables of a worker with an empty volume, whose models come from the server's plain URLs."""
    caplog.set_level(logging.INFO)
    (tmp_path / "volume").mkdir()
    entries = tomli.loads(CATALOGUE.read_text())["file"]
    urls = {entry["variable"]: f"{server.url}/{entry['name']}?secret=1" for entry in entries}
    return {"VOLUME_DIR": str(tmp_path / "volume"), "MODELS_DIR": str(tmp_path / "target"), **urls}


def bring_models(environ: dict[str, str]) -> None:
    bring.bring(config.read_models(environ))


def assert_all_are_whole(folder: Path, server: Server) -> None:
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == server.files


def test_what_the_volume_lacks_is_downloaded_and_kept_there(
    tmp_path: Path, environ: dict[str, str], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    bring_models(environ)
    assert_all_are_whole(tmp_path / "target", server)
    assert_all_are_whole(tmp_path / "volume", server)
    assert server.encodings == {"identity"}
    assert "download: done, 0.01 GB in" in caplog.text  # of how many is not known


def test_a_volume_that_refuses_files_is_not_the_place_for_a_model(
    tmp_path: Path, environ: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = (tmp_path / "volume", os.W_OK)
    monkeypatch.setattr(source, "os", SimpleNamespace(W_OK=os.W_OK, access=lambda *asked: asked != refused))
    bring_models(environ)
    assert_all_are_whole(tmp_path / "target", server)
    assert list((tmp_path / "volume").rglob("*.safetensors")) == []


@pytest.mark.parametrize(("free", "on_volume"), [(999, False), (1000, True)])
def test_a_volume_without_room_for_a_model_is_not_its_place(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, free: int, on_volume: bool
) -> None:
    monkeypatch.setattr(source, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=free)))
    model, settings = replace(VAE, size=1000), config.read_models(environ)
    place = source._choose_place(model, volume.Search(), settings)
    assert place == (tmp_path / "volume" / "models" if on_volume else tmp_path / "target") / VAE.path


def test_a_models_folder_without_room_is_told_before_anything_is_asked_for(
    tmp_path: Path, environ: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "room", lambda _: 999)
    settings = config.read_models(environ)
    model = replace(VAE, size=1000, url=f"{server.url}/{VAE.name}", sha256=None)
    on_volume = tmp_path / "volume" / VAE.name
    assert source._fetch(model, on_volume, settings) == on_volume
    server.requests = []
    with pytest.raises(ModelError, match="has no space for"):
        source._fetch(model, settings.target / model.path, settings)
    assert server.requests == []


def test_after_a_failure_no_other_download_begins(environ: dict[str, str], server: Server) -> None:
    server.delay, server.files[MODELS[0].name] = 0.3, b"<html>"
    with pytest.raises(ModelError, match="is a web page"):
        bring_models(environ)
    time.sleep(1)
    assert len(server.requests) < len(MODELS)


def test_without_a_volume_models_are_downloaded_to_comfyuis_folder(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    (tmp_path / "volume").rmdir()
    bring_models(environ)
    assert_all_are_whole(tmp_path / "target", server)


def test_a_volume_that_cannot_be_written_to_does_not_stop_the_boot(
    tmp_path: Path, environ: dict[str, str], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "volume" / "models").write_text("a file where the folder would be")
    bring_models(environ)
    assert_all_are_whole(tmp_path / "target", server)
    assert "cannot be saved on the volume" in caplog.text


def test_a_broken_file_on_the_volume_is_replaced_by_a_download(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    broken = tmp_path / "volume" / "ComfyUI" / "models" / VAE.path
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"<html>not logged in</html>")
    bring_models(environ)
    assert broken.read_bytes() == server.files[VAE.name]


def test_a_cut_transfer_goes_on_where_it_stopped(tmp_path: Path, environ: dict[str, str], server: Server) -> None:
    server.cuts = 2
    bring_models(environ)
    assert_all_are_whole(tmp_path / "volume", server)
    assert {span for *_, span in server.requests} > {""}


def test_a_cut_transfer_begins_anew_where_the_server_knows_no_ranges(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    server.cuts, server.ranges = 1, False
    bring_models(environ)
    assert_all_are_whole(tmp_path / "volume", server)


def break_off(tmp_path: Path, environ: dict[str, str], server: Server) -> None:
    """A boot that downloads half of the VAE and fails; the server is well afterwards."""
    for model in MODELS:
        place = tmp_path / "volume" / model.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if model != VAE:
            place.write_bytes(server.files[model.name])
    server.cuts, server.gone = 1, True
    with pytest.raises(ModelError, match="answers 410"):
        bring_models(environ)
    server.status, server.requests = 200, []


def test_a_later_boot_goes_on_with_a_download_that_broke_off(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    break_off(tmp_path, environ, server)
    bring_models(environ)
    assert_all_are_whole(tmp_path / "volume", server)
    assert [span for *_, span in server.requests][-1] > "bytes=0"


def test_another_version_is_never_appended_to_what_is_there(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    break_off(tmp_path, environ, server)
    server.version, server.files[VAE.name] = "v2", make_model(VAE, SIZE)
    bring_models(environ)
    assert_all_are_whole(tmp_path / "volume", server)


@pytest.mark.parametrize(
    ("status", "advice"),
    [(404, "answers 404: is the URL right"), (401, "answers 401: set HF_TOKEN"), (403, "set HF_TOKEN")],
)
def test_a_refusal_is_an_error_that_names_every_model_and_no_query(
    tmp_path: Path, environ: dict[str, str], server: Server, status: int, advice: str
) -> None:
    server.status = status
    with pytest.raises(ModelError, match=advice) as caught:
        bring_models(environ)
    assert all(model.name in caught.value.message for model in MODELS)
    assert "secret" not in caught.value.message
    assert not list((tmp_path / "target").rglob("*.safetensors"))


def test_a_page_instead_of_a_file_is_refused(tmp_path: Path, environ: dict[str, str], server: Server) -> None:
    server.files[VAE.name] = b"<!DOCTYPE html><html>sign in</html>"
    with pytest.raises(ModelError, match=r"vae_fp16.safetensors: what .* sent is a web page, not a model"):
        bring_models(environ)
    assert not list(tmp_path.rglob(f"{VAE.name}"))


def test_the_hubs_urls_go_through_its_own_client_with_the_token(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    places = {name: environ[name] for name in ("VOLUME_DIR", "MODELS_DIR")}
    published = {model.name: model.url for model in MODELS}
    urls = {variable: published[name] for variable, name in MODEL_URLS.items() if name in published}
    bring_models({**places, **urls, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_test"})
    assert_all_are_whole(tmp_path / "volume", server)
    assert server.tokens == {"Bearer hf_test"}


def test_a_download_from_the_default_url_is_the_published_file_or_none(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    places = {name: environ[name] for name in ("VOLUME_DIR", "MODELS_DIR")}
    with pytest.raises(ModelError, match=r"sent has the sha256 \w{64}, not \w{64}"):
        bring_models({**places, "HF_ENDPOINT": server.url})
    kept = (tmp_path / "volume").glob("models/*/*.safetensors")  # another one's download may be under way
    assert not list(kept)


def test_the_token_is_not_sent_to_other_hosts(environ: dict[str, str], server: Server) -> None:
    bring_models({**environ, "HF_TOKEN": "hf_test"})
    assert server.tokens == {""}


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "", r"answers 401: set HF_TOKEN"),
        (403, "GatedRepo", r"answers 403: accept its terms on the hub, and set HF_TOKEN"),
        (404, "EntryNotFound", r"answers 404: is the URL right"),
        (429, "", r"answers 429 \(too many requests\): set HF_TOKEN"),
    ],
)
def test_a_refusal_by_the_hub_is_told_as_what_it_is(
    environ: dict[str, str], server: Server, status: int, code: str, advice: str
) -> None:
    server.status, server.headers = status, {"Retry-After": "0", "X-Error-Code": code}
    places = {name: environ[name] for name in ("VOLUME_DIR", "MODELS_DIR")}
    with pytest.raises(ModelError, match=advice) as caught:
        bring_models({**places, "HF_ENDPOINT": server.url})
    assert caught.value.message.count("answers") == 1


def test_a_server_that_is_asked_too_often_is_asked_again_when_it_says(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    server.refusals, server.headers = 2, {"Retry-After": "1"}
    started = time.monotonic()
    bring_models(environ)
    assert time.monotonic() - started >= 1
    assert_all_are_whole(tmp_path / "volume", server)


def test_a_hub_that_cannot_be_reached_is_told_once_for_all_models_with_what_to_do(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append))
    places = {name: environ[name] for name in ("VOLUME_DIR", "MODELS_DIR")}
    with pytest.raises(ModelError) as failure:
        bring.bring(config.read_models({**places, "HF_ENDPOINT": "http://127.0.0.1:9"}))
    names = ", ".join(model.name for model in MODELS)
    advice = "check the network, or put the file on the volume"
    assert failure.value.message == f"{names}: http://127.0.0.1:9 cannot be reached (ConnectionError): {advice}"
    assert waited == [0.5] * len(MODELS)


def test_two_workers_on_one_volume_download_each_file_once(
    tmp_path: Path, environ: dict[str, str], server: Server
) -> None:
    server.delay = 0.1
    targets = [str(tmp_path / "target"), str(tmp_path / "other")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda target: bring_models({**environ, "MODELS_DIR": target}), targets))
    for folder in ("target", "other", "volume"):
        assert_all_are_whole(tmp_path / folder, server)
    assert len(server.requests) == len(MODELS)


def test_downloads_grow_outside_the_names_that_are_looked_for() -> None:
    assert stage(Path("/volume/models/vae/a.safetensors")).name == ".a.safetensors.part"


STYLE = b"no safetensors file, as a picture upscaler's .pth is none"


@pytest.fixture
def own(tmp_path: Path, environ: dict[str, str], server: Server) -> Path:
    """A models.toml on the volume with a file that the server has."""
    server.files = {"style.pth": STYLE}
    toml = tmp_path / "volume" / "models.toml"
    digest = hashlib.sha256(STYLE).hexdigest()
    entry = {"name": "style.pth", "folder": "upscale_models", "url": f"{server.url}/style.pth", "sha256": digest}
    toml.write_text("[[file]]\n" + "\n".join(f'{key} = "{value}"' for key, value in entry.items()))
    environ["MODEL_SETS"] = "none"
    return toml


def test_without_hunyuan_the_owners_files_alone_are_brought(
    tmp_path: Path, environ: dict[str, str], server: Server, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bring_models(environ)
    assert "download: done, 0.00 GB in" in caplog.text  # of how many is not known
    assert {path.name for path in (tmp_path / "target").rglob("*") if path.is_file()} == {"style.pth"}
    assert (tmp_path / "volume" / "models" / "upscale_models" / "style.pth").read_bytes() == STYLE
    assert [path for _, path, _ in server.requests] == ["/style.pth"]


@pytest.mark.parametrize(
    "answer",
    [
        (429, "1", [1, 1, 1, 1]),
        (503, "999", [60, 60, 60, 60]),
        (500, "", [1, 2, 4, 8]),
        (408, "soon", [1, 2, 4, 8]),
        (599, "0", [1, 2, 4, 8]),
    ],
)
@pytest.mark.usefixtures("own")
def test_a_server_that_stays_busy_is_asked_five_times_at_growing_or_its_own_pauses(
    answer: tuple[int, str, list[float]], environ: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, asked, waits = answer
    server.status, server.headers = status, {"Retry-After": asked} if asked else {}
    waited: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append))
    with pytest.raises(ModelError) as caught:
        bring_models(environ)
    more = " (too many requests): set HF_TOKEN" if status == 429 else ""
    assert caught.value.message.startswith(f"style.pth: {server.url}/style.pth answers {status}{more}")
    assert [seconds for seconds in waited if seconds >= 1] == waits
    assert len(server.requests) == 5


def test_a_server_that_breaks_off_at_once_is_given_up_with_what_happened(
    environ: dict[str, str], server: Server, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts, server.files = 99, {"style.pth": b"x"}
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=lambda _: None))
    with pytest.raises(ModelError, match=r"style.pth: http://127.0.0.1:\d+/style.pth breaks off: \w+Error$"):
        bring_models(environ)
    assert len(server.requests) == 5


@pytest.mark.parametrize(("status", "asked"), [(400, 0), (410, 0), (499, 0), (416, 1)])
def test_a_refusal_is_final_and_told_before_anything_is_downloaded(
    environ: dict[str, str], server: Server, own: Path, status: int, asked: int
) -> None:
    server.status = status
    with pytest.raises(ModelError, match=rf"^style.pth: {server.url}/style.pth answers {status}$"):
        bring_models(environ)
    assert len(server.requests) == asked  # a first look at an empty file is answered 416


def test_a_transfer_that_breaks_off_often_but_goes_on_each_time_arrives(
    tmp_path: Path, environ: dict[str, str], server: Server, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append))
    own.write_text(own.read_text().replace("sha256", "#"))
    server.cuts, server.files = 9, {"style.pth": os.urandom(2**22)}
    bring_models(environ)
    assert (tmp_path / "target" / "upscale_models" / "style.pth").read_bytes() == server.files["style.pth"]
    assert [seconds for seconds in waited if seconds] == [1.0] * 5


def test_a_download_with_another_hash_is_not_kept(
    tmp_path: Path, environ: dict[str, str], server: Server, own: Path
) -> None:
    server.files = {"style.pth": STYLE[::-1]}
    with pytest.raises(ModelError, match=r"style.pth: .*/style.pth sent has the sha256 \w{64}, not \w{64}"):
        bring_models(environ)
    assert not list(tmp_path.rglob("style.pth"))


def test_a_web_page_is_no_model_of_any_kind(tmp_path: Path, environ: dict[str, str], server: Server, own: Path) -> None:
    server.files = {"style.pth": b"\n<!DOCTYPE html><title>Sign in</title>"}
    with pytest.raises(ModelError, match="is a web page, not a model"):
        bring_models(environ)
    assert not list(tmp_path.rglob("style.pth"))
