"""verify_setup.py as a process, in a copy of the tree: laptop, container and platform, fit and unfit."""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from worker.models import catalogue

ROOT = Path(__file__).parents[2]
PARTS = ("verify_setup.py", "checks", "handler.py", "worker", "workflow_api.json", "requirements", "local")
MODELS = catalogue.load(["default"], {})
PLATFORM = {
    "RUNPOD_POD_ID": "pod",
    "RUNPOD_ENDPOINT_ID": "endpoint",
    "RUNPOD_AI_API_KEY": "rpa_platform",
    "RUNPOD_WEBHOOK_GET_JOB": "https://queue.example/job-take/$ID?gpu=H100",
    "RUNPOD_WEBHOOK_POST_OUTPUT": "https://queue.example/job-done/$ID?gpu=H100",
    "RUNPOD_WEBHOOK_PING": "https://queue.example/ping",
}
OWN = ("RUNPOD_", "COMFYUI_", "MODELS", "VOLUME_DIR", "BUCKET_", "HF_", "LOG_LEVEL", "PATH")
NOBODY = "http://127.0.0.1:9"


class Line(NamedTuple):
    state: str
    check: str
    found: str


class Result(NamedTuple):
    code: int
    lines: list[Line]
    out: str
    err: str

    def of(self, check: str) -> Line:
        """The only line of this check."""
        (line,) = [line for line in self.lines if line.check == check]
        return line

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(line.check, line.state) for line in self.lines]


class Tree:
    """A copy of what verify_setup.py looks at; `commands` is the only folder on PATH."""

    def __init__(self, folder: Path) -> None:
        self.root, self.commands = folder / "tree", folder / "commands"
        self.commands.mkdir()
        for part in PARTS:
            self.root.mkdir(exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, self.root / part)
            else:
                shutil.copy(ROOT / part, self.root / part)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        self.environ |= {"PATH": str(self.commands), "COMFYUI_DIR": str(self.root / "no-comfyui")}

    def verify(self, *arguments: str, python: Path | str = sys.executable, **environ: str) -> Result:
        done = subprocess.run(
            [python, "verify_setup.py", *arguments],
            cwd=self.root, env={**self.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr
        rows = [re.split(r"  +", line, maxsplit=2) for line in done.stdout.splitlines() if "  " in line]
        return Result(done.returncode, [Line(*row) for row in rows if len(row) == 3], done.stdout, done.stderr)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))

    def add_command(self, name: str, script: str) -> None:
        (self.commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.commands / name).chmod(0o755)

    def leave_out_the_engine(self) -> None:
        shutil.rmtree(self.root / "local" / "engine")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@contextlib.contextmanager
def engine_process(scenario: dict[str, Any]) -> Iterator[str]:
    """The preview engine as a process of its own; its URL."""
    command = [sys.executable, "-m", "local.engine", "--port", "0", "--scenario", json.dumps(scenario)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


@contextlib.contextmanager
def http_server(answers: dict[str, Any], damage: bytes = b"") -> Iterator[str]:
    """Answers GET requests with JSON by path, others with a page, and keeps what is PUT; its URL."""
    stored: dict[str, bytes] = {}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(answers[path]).encode() if path in answers else stored.get(path, b"<html>hello</html>")
            self.reply(body)

        def do_PUT(self) -> None:
            stored[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"])) + damage
            self.reply(b"")

        def reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output short."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def comfyui(version: str = "0.8.0", torch: str = "2.6.0+cu124") -> dict[str, Any]:
    """What a ComfyUI answers to the questions of verify_setup.py."""
    schemas = json.loads((ROOT / "local" / "engine" / "object_info.json").read_text())
    system = {"comfyui_version": version, "pytorch_version": torch}
    return {"/system_stats": {"system": system, "devices": []}, "/object_info": schemas}


def write_model(path: Path, model: catalogue.ModelFile) -> None:
    """A whole file of the published size that takes no room on the disk."""
    length = 256
    end = (model.size or 0) - 8 - length
    header = json.dumps({"x." + model.tensor: {"dtype": "U8", "shape": [end], "data_offsets": [0, end]}})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + header.ljust(length).encode())
        file.truncate(model.size)


def test_a_laptop_is_fit_and_is_told_that_the_preview_engine_answers(tree: Tree, free_port: int) -> None:
    tree.edit("worker/config.py", "127.0.0.1:8188", f"127.0.0.1:{free_port}")  # a ComfyUI may answer at the usual one
    result = tree.verify()
    assert result.code == 0, result.out
    for check in ("environment", "comfyui", "nodes", "choices", "model", "volume", "gpu", "command", "bucket"):
        assert result.of(check).state == "not applicable"
    for check in ("python", "packages", "settings", "sdk", "handler"):
        assert result.of(check).state == "ok"
    assert "the preview engine would, whose clips are not Hunyuan's" in result.of("comfyui").found
    assert result.out.splitlines()[-1].startswith("fit: ")


def test_json_has_the_lines_of_the_text(tree: Tree) -> None:
    checks = ("--only", "python", "environment", "comfyui", "gpu")
    fit = json.loads(tree.verify("--json", *checks, COMFYUI_URL=NOBODY).out)
    text = tree.verify(*checks, COMFYUI_URL=NOBODY)
    assert [(one["check"], one["state"]) for one in fit["checks"]] == text.states
    assert fit["fit"] is True
    unfit = tree.verify("--json", *checks, COMFYUI_URL=NOBODY, **PLATFORM)
    assert unfit.code == 1
    assert json.loads(unfit.out)["fit"] is False


def test_quick_leaves_out_the_sdk_and_the_structure_of_models(tree: Tree) -> None:
    models = tree.root / "models"
    for model in MODELS:
        write_model(models / model.path, model)
    unfit = models / MODELS[0].path
    with unfit.open("r+b") as file:
        file.write(b"<!DOCTYPE html>")
    quick = tree.verify("--quick", "--only", "sdk", "model", MODELS_DIR=str(models))
    assert quick.of("sdk") == Line("not applicable", "sdk", "left out by --quick")
    assert quick.code == 0
    assert {line.state for line in quick.lines if line.check == "model"} == {"ok"}
    assert tree.verify("--only", "model", MODELS_DIR=str(models)).code == 1


def test_each_model_has_a_line_of_its_own(tree: Tree) -> None:
    models = tree.root / "models"
    whole, cut, missing, small, link = (models / model.path for model in MODELS)
    for model in MODELS:
        write_model(models / model.path, model)
    os.truncate(cut, 1_000_000)
    missing.unlink()
    header = json.dumps({"x." + MODELS[3].tensor: {"data_offsets": [0, 10]}}).encode()
    small.write_bytes(len(header).to_bytes(8, "little") + header + bytes(10))
    link.unlink()
    link.symlink_to(models / "nowhere")
    result = tree.verify("--only", "model", MODELS_DIR=str(models))
    assert result.code == 1
    assert [line.state for line in result.lines] == ["ok", "fail", "fail", "warning", "fail"]
    for path, line in zip((whole, cut, missing, small, link), result.lines, strict=True):
        assert str(path) in line.found
    assert "is cut: 1,000,000 of " in result.lines[1].found
    assert result.lines[2].found.endswith("does not exist -> python -m worker.models bring")


def test_a_lock_is_compared_for_this_python_only(tree: Tree) -> None:
    lock = tree.root / "lock.txt"
    lines = (
        "pydantic==1.0.0 \\",
        "    --hash=sha256:0123",
        "no-such-package==1.0.0",
        "no-such-package-either==1.0.0 ; python_full_version < '3.8'",
        "pytest>=1",
    )
    lock.write_text("\n".join(lines))
    result = tree.verify("--only", "packages", "--lock", str(lock))
    assert result.code == 1
    assert "2 of 3 differ from lock.txt: pydantic " in result.out
    assert "instead of ==1.0.0, no-such-package is missing ->" in result.out
    assert "cannot be checked: FileNotFoundError" in tree.verify("--only", "packages", "--lock", "none").out


def test_a_python_without_packages_gets_a_result_and_no_traceback(tree: Tree) -> None:
    venv.create(tree.root / "bare", with_pip=False)
    result = tree.verify("--quick", python=tree.root / "bare" / "bin" / "python", COMFYUI_URL=NOBODY)
    assert result.code == 1
    assert result.of("packages").state == "fail"
    assert "No module named" in result.of("packages").found
    assert "handler.py cannot be imported: ModuleNotFoundError" in result.of("handler").found
    assert result.of("python").state == "ok"
    assert result.err == ""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("if __name__", "handler = answer\nif __name__", "is no async function"),
        ('"""RunPod', 'raise OSError("no license")\n"""RunPod', "cannot be imported: OSError: no license"),
        ('"""RunPod', 'import os; os.kill(os.getpid(), 11)\n"""RunPod', "cannot be imported: status -11"),
    ],
)
def test_a_handler_that_cannot_be_called_is_a_failure(tree: Tree, old: str, new: str, found: str) -> None:
    tree.edit("handler.py", old, new)
    result = tree.verify("--only", "handler")
    assert result.code == 1
    assert found in result.of("handler").found


def test_a_setting_that_cannot_be_used_is_named(tree: Tree) -> None:
    result = tree.verify("--only", "settings", JOB_TIMEOUT="soon")
    assert result.code == 1
    assert "JOB_TIMEOUT='soon' must be a number" in result.of("settings").found


def test_the_preview_engine_is_not_passed_off_as_comfyui(tree: Tree) -> None:
    with engine_process({}) as url:
        laptop = tree.verify("--only", "comfyui", COMFYUI_URL=url)
        platform = tree.verify("--only", "comfyui", COMFYUI_URL=url, **PLATFORM)
    assert laptop.states == [("comfyui", "warning"), ("nodes", "not applicable"), ("choices", "not applicable")]
    assert "a stand-in answers" in laptop.of("comfyui").found
    assert "only a ComfyUI proves it" in laptop.of("choices").found
    assert laptop.code == 0
    assert platform.of("comfyui").state == "fail"
    assert platform.code == 1


def test_models_that_comfyui_does_not_list_are_named(tree: Tree) -> None:
    missing = [MODELS[0].name, MODELS[3].name]
    with engine_process({"missing_models": missing}) as url:
        result = tree.verify("--only", "comfyui", COMFYUI_URL=url)
    assert result.code == 1
    assert result.of("choices").state == "fail"
    assert all(name in result.of("choices").found for name in missing)
    assert MODELS[1].name not in result.of("choices").found


def test_node_classes_and_choices_that_comfyui_does_not_know_are_named(tree: Tree) -> None:
    with http_server(comfyui()) as url:
        fit = tree.verify("--only", "comfyui", COMFYUI_URL=url)
        tree.edit("workflow_api.json", '"VAEDecode"', '"VAEDecodeBetter"')
        tree.edit("workflow_api.json", '"codec": "h264"', '"codec": "h265"')
        unfit = tree.verify("--only", "comfyui", COMFYUI_URL=url)
    assert fit.states == [("comfyui", "ok"), ("nodes", "ok"), ("choices", "ok")]
    assert "all 5 models and " in fit.of("choices").found
    assert "VAEDecodeBetter" in unfit.of("nodes").found
    assert "h265 (Save video: codec)" in unfit.of("choices").found
    assert unfit.code == 1


def test_another_release_of_comfyui_is_a_warning(tree: Tree) -> None:
    with http_server(comfyui(version="0.9.1")) as url:
        result = tree.verify("--only", "comfyui", COMFYUI_URL=url, **PLATFORM)
    assert result.of("comfyui").state == "warning"
    assert "tested on 0.8.0" in result.of("comfyui").found
    assert result.code == 0


def test_a_server_that_is_no_comfyui_does_not_count_as_one(tree: Tree) -> None:
    with http_server({}) as page, http_server({"/system_stats": ["no stats"]}) as other:
        for url in (page, other):
            assert "no ComfyUI answers" in tree.verify("--only", "comfyui", COMFYUI_URL=url).of("comfyui").found


def test_an_image_without_the_preview_engine_needs_comfyui_models_and_gpu(tree: Tree) -> None:
    tree.leave_out_the_engine()
    result = tree.verify("--only", "comfyui", "model", "gpu", COMFYUI_URL=NOBODY)
    assert result.code == 1
    assert result.of("comfyui").state == "fail"
    assert [line.state for line in result.lines if line.check == "model"] == ["fail"] * len(MODELS)
    assert result.of("gpu").state == "fail"
    assert result.of("nodes").state == "not applicable"


def test_what_the_platform_sets_must_be_there(tree: Tree) -> None:
    assert tree.verify("--only", "environment", **PLATFORM).of("environment").state == "ok"
    without = dict.fromkeys(("RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_AI_API_KEY"), "")
    result = tree.verify("--only", "environment", **{**PLATFORM, **without})
    assert result.code == 1
    assert all(f"{name} is missing: " in result.of("environment").found for name in without)
    assert "POST_OUTPUT" not in result.out


@pytest.mark.parametrize("where", [{}, PLATFORM])
def test_the_realtime_port_silences_the_handler_everywhere(tree: Tree, where: dict[str, str]) -> None:
    result = tree.verify("--only", "environment", RUNPOD_REALTIME_PORT="8001", **where)
    assert result.code == 1
    assert "RUNPOD_REALTIME_PORT is set" in result.of("environment").found


@contextlib.contextmanager
def handler_process(tree: Tree, *flags: str) -> Iterator[None]:
    """A process with the command line of a running handler, and no more."""
    command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)", "handler.py", *flags]
    with subprocess.Popen(command, cwd=tree.root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_a_flag_that_silences_the_running_handler_is_found(tree: Tree) -> None:
    with handler_process(tree, "--rp_serve_api"):
        platform = tree.verify("--only", "command", **PLATFORM)
        laptop = tree.verify("--only", "command")
    assert platform.code == 1
    assert "--rp_serve_api: it serves the SDK's test API instead -> remove it" in platform.of("command").found
    assert (laptop.of("command").state, laptop.code) == ("warning", 0)


def test_a_running_handler_without_such_flags_is_fine_and_none_is_told(tree: Tree) -> None:
    with handler_process(tree, "--rp_log_level", "INFO"):
        assert tree.verify("--only", "command", **PLATFORM).of("command").state == "ok"
    absent = tree.verify("--only", "command", **PLATFORM)
    assert absent.of("command").state == "warning"
    assert "no handler.py runs here" in absent.of("command").found


@pytest.mark.parametrize(
    ("gpu", "torch", "state", "found"),
    [
        ("NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0", "2.6.0+cu124", "ok", "80 GiB, driver 550.54.15"),
        ("NVIDIA H100 80GB HBM3, 81559, 535.183.06, 9.0", "2.6.0+cu124", "warning", "driver 550 came with CUDA 12.4"),
        ("Tesla T4, 15360, 470.82.01, 7.5", "2.6.0+cu124", "fail", "CUDA 12 needs driver 525"),
        ("NVIDIA GeForce RTX 5090, 32607, 570.86.10, 12.0", "2.6.0+cu124", "fail", "cu128"),
        ("NVIDIA GeForce RTX 5090, 32607, 570.86.10, 12.0", "2.9.1+cu128", "ok", "torch 2.9.1+cu128"),
        ("NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0", "2.6.0+cpu", "fail", "has no CUDA"),
    ],
)
def test_the_driver_and_the_gpu_must_fit_the_cuda_build(
    tree: Tree, gpu: str, torch: str, state: str, found: str
) -> None:
    tree.add_command("nvidia-smi", f"echo '{gpu}'")
    with http_server(comfyui(torch=torch)) as url:
        result = tree.verify("--only", "gpu", COMFYUI_URL=url, **PLATFORM)
    assert result.of("gpu").state == state
    assert found in result.of("gpu").found
    assert result.code == (state == "fail")


def test_a_driver_that_is_not_loaded_is_a_failure_on_the_platform(tree: Tree) -> None:
    tree.add_command("nvidia-smi", 'echo "NVIDIA-SMI has failed: it couldn\'t communicate with the driver."; exit 9')
    platform = tree.verify("--only", "gpu", **PLATFORM)
    assert "couldn't communicate with the driver" in platform.of("gpu").found
    assert platform.code == 1
    assert tree.verify("--only", "gpu").of("gpu").state == "warning"


def test_output_of_nvidia_smi_that_cannot_be_read_is_a_failed_check(tree: Tree) -> None:
    tree.add_command("nvidia-smi", "echo no devices were found")
    result = tree.verify("--only", "gpu")
    assert result.code == 1
    assert "cannot be checked" in result.of("gpu").found


def test_the_volume_disk_and_memory_are_described(tree: Tree) -> None:
    result = tree.verify("--only", "volume", "disk", "memory", VOLUME_DIR=str(tree.root))
    assert result.of("volume").state == "ok"
    assert re.search(r"\d+% of / is free", result.of("disk").found)
    assert re.search(r"\d+\.\d GiB available", result.of("memory").found)
    without = tree.verify("--only", "volume", VOLUME_DIR=str(tree.root / "none"), **PLATFORM)
    assert without.of("volume").state == "warning"


def bucket_at(url: str) -> dict[str, str]:
    keys = {"BUCKET_ACCESS_KEY_ID": "access-key", "BUCKET_SECRET_ACCESS_KEY": "secret-key"}
    return {"BUCKET_ENDPOINT_URL": url, "BUCKET_NAME": "clips", **keys}


def test_a_bucket_is_written_to_and_read_from(tree: Tree) -> None:
    with http_server({}) as url:
        assert tree.verify("--only", "bucket", **bucket_at(url)).of("bucket").state == "ok"
        assert "left out" in tree.verify("--quick", "--only", "bucket", **bucket_at(url)).of("bucket").found
    with http_server({}, damage=b"!") as url:
        damaged = tree.verify("--only", "bucket", **bucket_at(url))
    assert "holds something else" in damaged.of("bucket").found
    assert damaged.code == 1


def test_a_bucket_that_cannot_be_used_is_a_failure(tree: Tree) -> None:
    assert tree.verify("--only", "bucket").of("bucket").state == "not applicable"
    result = tree.verify("--only", "bucket", **bucket_at(NOBODY))
    assert result.code == 1
    assert result.of("bucket").state == "fail"
    assert "secret-key" not in result.out + result.err


def test_secrets_are_not_printed(tree: Tree) -> None:
    secrets = {"HF_TOKEN": "hf_0123456789", "BUCKET_SECRET_ACCESS_KEY": "s3cr3t-s3cr3t"}
    tree.add_command("nvidia-smi", 'echo "$HF_TOKEN $BUCKET_SECRET_ACCESS_KEY"; exit 1')
    address = "http://me:passw0rd@127.0.0.1:9/?sig=signature"
    result = tree.verify("--quick", "--json", COMFYUI_URL=address, **secrets, **PLATFORM)
    assert "nvidia-smi fails: *** ***" in result.out
    for secret in (*secrets.values(), "passw0rd", "signature", PLATFORM["RUNPOD_AI_API_KEY"]):
        assert secret not in result.out + result.err


def test_help_explains_the_exit_codes_and_a_wrong_option_has_its_own(tree: Tree) -> None:
    shown = tree.verify("--help")
    assert shown.code == 0
    assert "at least one check failed" in shown.out
    assert tree.verify("--every").code == 2


def test_a_reader_that_leaves_early_sees_no_traceback(tree: Tree) -> None:
    with subprocess.Popen(
        [sys.executable, "verify_setup.py", "--only", "python", "volume"],
        cwd=tree.root, env=tree.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
