"""builder.sh as it runs: real files, real child processes, and what it says when it cannot keep its promise."""

import contextlib
import http.server
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_files import MODELS, VAE, make_model
from tests.scripts.container import BUILDER, ROOT, Container, wait_for


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    container.end()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves one whole VAE; ends no answer to /slow before the test is over."""
    over = threading.Event()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/missing":
                self.send_error(404)
                return
            body = make_model(VAE)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path == "/slow":
                over.wait()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not to the test's output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listener:
        listener.daemon_threads, listener.block_on_close = True, False
        threading.Thread(target=listener.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        over.set()
        listener.shutdown()


def test_the_boot_copies_the_models_and_the_handler_takes_over_its_process(container: Container) -> None:
    container.fill_volume()
    container.start(COMFYUI_ARGS="--fast --reserve-vram 2")
    wait_for(container.says(rf"handler: {container.pid} 5 {container.url}\n"))
    wait_for(container.says("--disable-metadata --cache-classic --disable-api-nodes --fast --reserve-vram 2"))
    text = container.text
    assert "--listen 127.0.0.1 --port" in text
    wait_for(container.says("ComfyUI 0.8.0 in"))
    assert "5 of 5 models" in text
    assert not list(container.comfyui.rglob("*.part"))


def test_the_garbage_collector_looks_seldom_until_the_workers_nodes_are_loaded(container: Container) -> None:
    nodes = ROOT / "comfyui_nodes"
    main = f"import gc, sys; sys.path.append({str(nodes)!r}); print('at first', gc.get_threshold(), sys.argv[:2]); "
    main += "import garbage; garbage.settle(); print('then', gc.get_threshold(), gc.get_freeze_count() > 0)"
    (container.comfyui / "main.py").write_text(main)
    container.start()
    wait_for(
        container.says(
            r"^comfyui: at first \(50000, 100, 100\) \['main.py', '--listen'\]\ncomfyui: then \(700, 10, 10\) True$"
        )
    )


def test_another_cache_takes_the_place_of_the_default_one(container: Container) -> None:
    container.fill_volume()
    container.start(COMFYUI_ARGS="--reserve-vram 2 --cache-lru 3")
    wait_for(container.says("--disable-metadata --disable-api-nodes --reserve-vram 2 --cache-lru 3"))


def test_comfyui_does_not_get_the_workers_keys(container: Container) -> None:
    container.fill_volume()
    keys = ("BUCKET_SECRET_ACCESS_KEY", "HF_TOKEN", "RUNPOD_AI_API_KEY")
    container.start(**dict.fromkeys(keys, "secret"), OTHER="kept")
    wait_for(container.comfyui_pid)
    environ = Path(f"/proc/{container.comfyui_pid()}/environ").read_text().split("\0")
    assert "OTHER=kept" in environ
    assert not [entry for entry in environ if entry.endswith("=secret")]
    assert "HF_TOKEN=secret" in Path(f"/proc/{container.pid}/environ").read_text().split("\0")


@pytest.fixture
def open_container() -> Iterator[Container]:
    """One whose folder any user may enter, with a Python for ComfyUI that any user may run."""
    if os.geteuid() != 0:
        pytest.skip("only root may start ComfyUI as another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        container = Container(Path(folder))
        container.environ |= {"COMFYUI_USER": "daemon", "COMFYUI_PYTHON": "/usr/bin/python3"}
        container.fill_volume()
        yield container
        container.end()


def test_comfyui_runs_as_a_user_of_its_own_that_cannot_look_into_the_worker(open_container: Container) -> None:
    open_container.start(HF_TOKEN="secret")
    wait_for(open_container.comfyui_pid)
    user, pid = pwd.getpwnam("daemon"), open_container.comfyui_pid()
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(rf"^Uid:\t{user.pw_uid}\t{user.pw_uid}\t.*\nGid:\t{user.pw_gid}\t", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    environ = f"/proc/{open_container.pid}/environ"
    look = subprocess.run(
        ["setpriv", "--reuid=daemon", "--clear-groups", "cat", environ], capture_output=True, check=False
    )
    assert (look.returncode, look.stdout) == (1, b"")
    owners = {folder: (open_container.comfyui / folder).owner() for folder in ("input", "output", "temp", "user")}
    assert set(owners.values()) == {"daemon"}
    assert "ComfyUI runs as the user daemon" in open_container.text


@pytest.mark.parametrize(("closed", "mode"), [(f"models/{VAE.path}", 0o600), ("", 0o700)])
def test_what_that_user_cannot_read_keeps_comfyui_with_the_workers_user(
    open_container: Container, closed: str, mode: int
) -> None:
    path = open_container.volume / closed
    path.chmod(mode)
    open_container.start()
    wait_for(open_container.comfyui_pid)
    assert Path(f"/proc/{open_container.comfyui_pid()}").owner() == "root"
    assert f"ComfyUI runs as root, not as daemon: it cannot read {path}\n" in open_container.text


@pytest.mark.parametrize("user", ["root", "nobody-of-that-name"])
def test_comfyui_runs_as_root_where_that_is_set_or_no_such_user_is_there(open_container: Container, user: str) -> None:
    open_container.start(COMFYUI_USER=user)
    wait_for(open_container.comfyui_pid)
    assert Path(f"/proc/{open_container.comfyui_pid()}").owner() == "root"
    assert ("ComfyUI runs as" in open_container.text) == (user != "root")


@pytest.mark.parametrize("files", ["{counts}", "{counts} missing", "missing {counts}"])
def test_kills_for_lack_of_memory_are_counted_whichever_cgroup_file_is_missing(tmp_path: Path, files: str) -> None:
    counts = tmp_path / "memory.events"
    counts.write_text("oom 3\noom_kill 2\noom_group_kill 0\n")
    script = f"source {BUILDER}; OOM_COUNTS=({files.format(counts=counts)}); count_oom_kills"
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == "2\n"


def test_comfyui_is_shown_every_models_folder_of_the_volume(container: Container) -> None:
    container.fill_volume()
    (container.volume / "models" / "ipadapter").mkdir()
    (container.volume / "runpod-slim" / "ComfyUI" / "models").mkdir(parents=True)
    container.start()
    wait_for(container.says(f"--extra-model-paths-config {container.model_paths}"))
    config = {conf["base_path"]: conf for conf in json.loads(container.model_paths.read_text()).values()}
    models = config[f"{container.volume}/models"]
    assert models["diffusion_models"].split() == ["diffusion_models", "unet"]
    assert (models["loras"], models["ipadapter"]) == ("loras", "ipadapter")
    assert set(config) == {str(container.volume / folder) for folder in ("", "models", "runpod-slim/ComfyUI/models")}
    assert not any("custom_nodes" in conf for conf in config.values())


@pytest.mark.parametrize(("value", "loaded"), [("1", True), ("0", False), ("false", False)])
def test_node_packs_of_the_volume_are_loaded_only_where_that_is_set(
    container: Container, value: str, loaded: bool
) -> None:
    (container.volume / "custom_nodes").mkdir(parents=True)
    container.start(VOLUME_CUSTOM_NODES=value)
    wait_for(container.says("--extra-model-paths-config"))
    nodes = json.loads(container.model_paths.read_text()).get("custom_nodes")
    assert nodes == ({"base_path": str(container.volume), "custom_nodes": "custom_nodes"} if loaded else None)


def test_a_models_folder_elsewhere_reaches_comfyui_too(container: Container) -> None:
    container.fill_volume()
    elsewhere = container.comfyui.parent / "elsewhere"
    container.start(MODELS_DIR=str(elsewhere))
    wait_for(container.says("handler: .* 5 "))
    wait_for(container.says(f"--extra-model-paths-config {container.model_paths}"))
    assert json.loads(container.model_paths.read_text())[str(elsewhere)]["loras"] == "loras"


def test_where_comfyuis_folder_cannot_be_written_to_its_files_are_elsewhere(container: Container) -> None:
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    container.fill_volume()
    tree, data = container.comfyui, container.comfyui.parent / "data"
    mount = f'mount --bind {tree} {tree} && mount -o remount,ro,bind {tree} && exec "$@"'
    entry = ("unshare", "-m", "bash", "-c", mount, "start", BUILDER)
    container.start_by(entry, MODELS_DIR=str(data / "models"), COMFYUI_DATA=str(data))
    wait_for(container.says("handler: .* 5 "))
    wait_for(container.says(f"--input-directory {data}/input --output-directory {data}/output "))
    assert f"COMFYUI_DIR={tree} cannot be written to: ComfyUI's files are in {data}" in container.text
    assert len(list(data.glob("models/*/*.safetensors"))) == 5


def test_without_a_volume_comfyui_has_its_own_folders(container: Container) -> None:
    container.start()
    wait_for(container.comfyui_pid)
    assert "--extra-model-paths-config" not in container.text


def test_comfyui_and_the_handler_are_up_while_the_models_are_still_on_their_way(
    container: Container, server: str
) -> None:
    container.fill_volume()
    (container.volume / "models" / VAE.path).unlink()
    container.start(sys.executable, "-uc", "print('up', flush=True); input()", HUNYUAN_VAE_URL=f"{server}/slow")
    wait_for(container.comfyui_pid)
    wait_for(container.says(r"^up$"))
    assert "models in place" not in container.text


def test_without_a_command_it_ends_well_and_the_shells_next_command_finds_both(container: Container) -> None:
    container.fill_volume()
    container.start_by(("bash", "-c", f'{BUILDER} && "$@"', "start"), COMFYUI_URL=container.url)
    wait_for(container.says(rf"handler: \d+ 5 {container.url}\n"))
    wait_for(container.comfyui_pid)
    assert "ComfyUI and the models are under way" in container.text


def test_sigterm_reaches_the_handler_that_a_shell_has_become(container: Container) -> None:
    container.fill_volume()
    container.start_by(("bash", "-c", f'{BUILDER} && "$@"', "start"), COMFYUI_URL=container.url)
    wait_for(container.says("handler: "))
    os.kill(container.pid, signal.SIGTERM)
    assert container.wait() == 0
    assert "handler: SIGTERM" in container.text


def test_without_a_command_nothing_outlives_the_shell_that_called_it(container: Container) -> None:
    container.fill_volume()
    container.start_by(("bash", "-c", f'{BUILDER} && "$@"; true', "start"), "sleep", "5")
    wait_for(container.comfyui_pid)
    container.wait()
    wait_for(container.is_gone)


@pytest.mark.parametrize(
    "entry",
    [
        (BUILDER, BUILDER),
        (BUILDER, "bash", "-c", f'{BUILDER} && "$@"', "start"),
        ("bash", "-c", f'{BUILDER} && {BUILDER} "$@"', "start"),
    ],
)
def test_started_twice_the_second_does_nothing_again(container: Container, entry: "tuple[str, ...]") -> None:
    container.fill_volume()
    container.start_by(entry)
    wait_for(container.says(rf"handler: \d+ 5 {container.url}\n"))
    wait_for(container.comfyui_pid)
    assert "another builder.sh has started ComfyUI and the models: nothing to do again" in container.text
    assert container.text.count("arguments:") == 1
    wait_for(container.says("builder: models in place"))
    assert container.text.count("of 5 models are in place in") == 1


def test_a_restarted_container_starts_all_again(container: Container) -> None:
    container.fill_volume()
    for _ in range(2):
        container.start()
        wait_for(container.says("handler: "))
        wait_for(container.comfyui_pid)
        assert "nothing to do again" not in container.text
        container.end()


def test_sigterm_reaches_the_handler(container: Container) -> None:
    container.fill_volume()
    container.start()
    wait_for(container.says("handler: "))
    os.kill(container.pid, signal.SIGTERM)
    assert container.wait() == 0
    assert "handler: SIGTERM" in container.text


def test_sigterm_during_the_boot_ends_it_without_waiting_for_the_models(container: Container, server: str) -> None:
    container.fill_volume()
    (container.volume / "models" / VAE.path).unlink()
    container.start(HUNYUAN_VAE_URL=f"{server}/slow")
    wait_for(container.says("downloading"))
    os.kill(container.pid, signal.SIGTERM)
    assert container.wait() == -signal.SIGTERM
    assert "handler:" not in container.text


def test_a_cut_file_on_the_volume_is_named_and_downloaded_anew(container: Container, server: str) -> None:
    container.fill_volume()
    cut = container.volume / "models" / VAE.path
    os.truncate(cut, 900)
    container.start(HUNYUAN_VAE_URL=f"{server}/vae")
    wait_for(container.says("handler: .* 5 "))
    assert f"{cut} is cut: 900 of" in container.text
    assert cut.stat().st_size > 900


def test_linked_models_are_read_ahead_after_the_handler_has_started(container: Container) -> None:
    container.fill_volume()
    container.start(MODELS_MODE="link")
    wait_for(container.says("read ahead: done"))
    wait_for(container.says("handler: .* 5 "))
    assert all((container.comfyui / "models" / model.path).is_symlink() for model in MODELS)


def test_without_a_volume_and_with_every_download_failing_the_container_ends_in_error(
    container: Container, server: str
) -> None:
    names = ("HUNYUAN_UNET_URL", "HUNYUAN_VAE_URL", "CLIP1_URL", "CLIP2_URL", "CLIP_VISION_URL")
    container.start(**dict.fromkeys(names, f"{server}/missing"))
    assert container.wait() == 1
    text = container.text
    assert f"{container.volume} (not mounted): 0 of 5 models" in text
    (failure,) = re.findall(f"unfit: (.*): {server}/missing answers 404", text)
    assert all(model.name in failure for model in MODELS)
    assert "handler:" not in text


@pytest.mark.parametrize(("other", "fault"), [("missing", "answers 404"), ("vae", "is another kind of model")])
def test_a_download_that_fails_ends_the_boot_while_another_one_is_under_way(
    container: Container, server: str, other: str, fault: str
) -> None:
    container.fill_volume()
    for model in MODELS[:2]:
        (container.volume / "models" / model.path).unlink()
    container.start(CLIP_VISION_URL=f"{server}/slow", CLIP1_URL=f"{server}/{other}")
    assert container.wait() == 1
    (reason,) = re.findall("^unfit: (.*)$", container.text, re.MULTILINE)
    assert reason.startswith(MODELS[1].name)
    assert fault in reason


def test_a_folder_that_models_cannot_be_put_into_is_one_line(container: Container) -> None:
    container.fill_volume()
    (container.comfyui / "taken").write_text("a file")
    container.start(MODELS_DIR=str(container.comfyui / "taken" / "models"))
    assert container.wait() == 1
    (reason,) = re.findall("^unfit: (.*)$", container.text, re.MULTILINE)
    assert "Not a directory" in reason
    assert "set MODELS_DIR to a folder" in reason
    assert "Traceback" not in container.text


def test_a_command_that_does_not_wait_for_models_that_cannot_come_is_ended_too(
    container: Container, server: str
) -> None:
    container.fill_volume()
    (container.volume / "models" / VAE.path).unlink()
    container.start("sleep", "60", HUNYUAN_VAE_URL=f"{server}/missing", END_WAIT="1")
    assert container.wait() == -signal.SIGUSR1


def test_models_whose_bringer_dies_without_a_word_are_reported_too(container: Container) -> None:
    container.start(WORKER_PYTHON="false")
    assert container.wait() == 1
    assert "unfit: the models cannot be brought in, see above (status 1)" in container.text


def test_models_that_come_too_slowly_end_the_boot_with_what_to_do(container: Container, server: str) -> None:
    container.fill_volume()
    (container.volume / "models" / VAE.path).unlink()
    container.start(HUNYUAN_VAE_URL=f"{server}/slow", BOOT_TIMEOUT="2")
    assert container.wait() == 1
    assert re.search(r"error: the models are not in place \d+ s after the start: .*RUNPOD_INIT_TIMEOUT", container.text)


def test_comfyuis_log_keeps_its_end_and_stays_small(container: Container) -> None:
    container.fill_volume()
    main = container.comfyui / "main.py"
    chatter = 'for line in range(3000): print("line", line, "x" * 100)\n'
    main.write_text(chatter + main.read_text())
    container.start(COMFYUI_LOG_LIMIT="50000")
    wait_for(container.comfyui_pid)
    wait_for(container.says("line 2999 "))
    assert "line 2999 " in container.log.read_text()
    assert container.log.stat().st_size < 100_000
    assert "line 0 " not in container.log.read_text()
    assert "line 0 " in container.text


def test_a_killed_comfyui_is_started_again_beside_the_same_handler(container: Container) -> None:
    container.fill_volume()
    container.start()
    wait_for(container.says("handler: "))
    wait_for(container.comfyui_pid)
    first = container.comfyui_pid()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: container.comfyui_pid() != first)
    assert "ComfyUI ended with status 137 (killed, as it is for lack of memory), 1 of 3 times" in container.text
    assert "ComfyUI ended with status 137" in container.log.read_text()
    assert container.process is not None
    assert container.process.poll() is None


def test_a_log_that_cannot_be_written_fails_neither_comfyui_nor_its_restart(container: Container) -> None:
    container.fill_volume()
    (container.comfyui / "deaths").write_text("1")
    main = container.comfyui / "main.py"
    chatter = 'for line in range(300): print("line", line, "x" * 100)\n'
    main.write_text(chatter + main.read_text())
    container.start(COMFYUI_LOG="/dev/full", COMFYUI_LOG_LIMIT="1000")
    wait_for(container.comfyui_pid)
    wait_for(container.says("line 299 (.|\n)*ComfyUI ended with status 1, 1 of 3(.|\n)*line 299 "))


def test_the_handler_has_no_children_to_reap(container: Container) -> None:
    container.fill_volume()
    container.start()
    wait_for(container.says("handler: "))
    wait_for(container.says("disk: "))
    assert Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text() == ""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_handler_outside_a_container_either(container: Container, server: str, sent: int) -> None:
    container.fill_volume()
    (container.volume / "models" / VAE.path).unlink()
    container.start("sleep", "60", HUNYUAN_VAE_URL=f"{server}/slow")
    wait_for(container.comfyui_pid)
    wait_for(container.says("downloading"))
    os.killpg(container.pid, signal.SIGINT) if sent == signal.SIGINT else os.kill(container.pid, sent)
    assert container.wait() == -sent
    wait_for(container.is_gone)


def test_a_comfyui_that_keeps_dying_ends_the_container_in_error(container: Container) -> None:
    container.fill_volume()
    (container.comfyui / "deaths").write_text("9")
    container.start(COMFYUI_MAX_DEATHS="2", END_WAIT="1")
    assert container.wait() == -signal.SIGUSR1
    text = container.text
    assert "handler: " in text
    assert "error: ComfyUI does not stay up: the container ends" in text
    assert "  CUDA error: no kernel image" in text.partition("Its last lines:")[2]


@pytest.mark.parametrize(
    ("environ", "command", "message"),
    [
        ({"COMFYUI_DIR": "/nowhere"}, ["true"], "no ComfyUI in COMFYUI_DIR=/nowhere"),
        ({"COMFYUI_PYTHON": "/nowhere"}, ["true"], "COMFYUI_PYTHON=/nowhere cannot be run"),
        ({"COMFYUI_LOG": "/nowhere/log"}, ["true"], "COMFYUI_LOG=/nowhere/log cannot be written"),
        ({"MODELS_STATE": "/nowhere/state"}, ["true"], "MODELS_STATE=/nowhere/state cannot be written"),
        ({"BOOT_FILE": "/nowhere/file"}, [], "BOOT_FILE=/nowhere/file cannot be written"),
        ({"COMFYUI_DIR": "/nowhere"}, [], "no ComfyUI in COMFYUI_DIR=/nowhere"),
        ({"RUNPOD_INIT_TIMEOUT": "7m"}, ["true"], "RUNPOD_INIT_TIMEOUT=7m must be a whole number from 1"),
        ({"BOOT_TIMEOUT": "400.5"}, ["true"], "BOOT_TIMEOUT=400.5 must be a whole number from 1"),
        ({"COMFYUI_MAX_DEATHS": "none"}, ["true"], "COMFYUI_MAX_DEATHS=none must be a whole number from 1"),
    ],
)
def test_what_waiting_cannot_mend_ends_the_boot_at_once(
    container: Container, environ: dict[str, str], command: list[str], message: str
) -> None:
    done = subprocess.run(
        [ROOT / "builder.sh", *command],
        env={**container.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"builder: error: {message}" in done.stderr


def test_nothing_that_comfyui_prints_passes_for_a_line_of_the_handlers(container: Container) -> None:
    """A node's id, which is the caller's, stands as it is in what ComfyUI prints of a graph."""
    forged = "Status: success"
    text = f"a\n{forged}\r{forged}\x0b\x1b[1A{forged}\x1b[32m\n{forged}\n"
    (container.comfyui / "main.py").write_text(f"print({text!r}, flush=True); import time; time.sleep(60)")
    container.fill_volume()
    container.start()
    wait_for(lambda: container.text.count(forged) == 4)
    lines = [line for line in container.output.read_bytes().split(b"\n") if forged.encode() in line]
    assert all(line.startswith(b"comfyui: ") and re.fullmatch(rb"[ -~]+", line) for line in lines)
    assert len(lines) == 3


def test_a_setting_that_makes_no_sense_is_named(container: Container) -> None:
    container.start(MODELS_MODE="fast")
    assert container.wait() == 1
    assert "MODELS_MODE='fast' must be one of AUTO, COPY, LINK" in container.text


def test_its_functions_can_be_sourced_without_running_it() -> None:
    script = f"source {ROOT}/builder.sh; declare -F main supervise_comfyui; log it works"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:2] == ["main", "supervise_comfyui"]
    assert done.stdout.endswith("builder: it works\n")
