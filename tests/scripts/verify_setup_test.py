"""verify_setup.py as a process, in a copy of the tree: its result, the software, and what silences the handler."""

import contextlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.verified_tree import NOBODY, PLATFORM, Tree
from worker.catalogue import MODEL_SETS


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_laptop_is_fit_and_is_told_that_the_preview_engine_answers(tree: Tree, free_port: int) -> None:
    result = tree.verify(COMFYUI_PORT=str(free_port))  # a ComfyUI may answer at the usual one
    assert result.code == 0, result.out
    for check in ("environment", "comfyui", "nodes", "choices", "model", "volume", "gpu", "command", "bucket"):
        assert result.of(check).state == "not applicable"
    for check in ("python", "packages", "settings", "sdk", "handler"):
        assert result.of(check).state == "ok"
    assert "the preview engine would make the clips, without a model" in result.of("comfyui").found
    assert result.out.splitlines()[-1].startswith("fit: ")


def test_json_has_the_lines_of_the_text(tree: Tree) -> None:
    checks = ("--only", "python", "environment", "comfyui", "gpu")
    fit = json.loads(tree.verify("--json", *checks, COMFYUI_PORT="9").out)
    text = tree.verify(*checks, COMFYUI_PORT="9")
    assert [(one["check"], one["state"]) for one in fit["checks"]] == text.states
    assert fit["fit"] is True
    unfit = tree.verify("--json", *checks, COMFYUI_URL=NOBODY, **PLATFORM)
    assert unfit.code == 1
    assert json.loads(unfit.out)["fit"] is False


def test_what_is_set_and_wrong_fails(tree: Tree) -> None:
    result = tree.verify("--only", "settings,comfyui", COMFYUI_DIR="/no/such/folder", COMFYUI_URL=NOBODY)
    assert result.states[:2] == [("settings", "fail"), ("comfyui", "fail")]
    assert "/no/such/folder" in result.of("settings").found
    assert NOBODY in result.of("comfyui").found


def test_checks_that_do_not_apply_are_shown_to_those_who_ask(tree: Tree) -> None:
    quick = tree.run("--quick", COMFYUI_PORT="9")
    assert "not applicable" not in quick.out.rpartition("\n")[0].replace(quick.out.splitlines()[-1], "")
    assert tree.run("--only", "environment").of("environment").state == "not applicable"
    assert tree.run("--quick", "--all", COMFYUI_PORT="9").of("environment").state == "not applicable"


def test_the_sets_are_listed_anywhere(tree: Tree) -> None:
    assert [name for name, _ in tree.run("--only", "sets").states] == ["sets"] * len(MODEL_SETS)


def test_for_runpod_it_says_what_a_worker_of_real_clips_would_need_here(tree: Tree) -> None:
    result = tree.run("--for", "runpod", "--only", "comfyui,gpu", COMFYUI_PORT="9")
    assert (result.of("comfyui").state, result.of("gpu").state) == ("fail", "fail")
    assert result.code == 1


def test_an_unknown_check_is_wrong_usage(tree: Tree) -> None:
    result = tree.run("--only", "sdk,no-such")
    assert result.code == 2
    assert "no check no-such" in result.err


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


def test_comfyuis_own_environment_is_compared_with_what_it_was_made_from(tree: Tree) -> None:
    python, lock = tree.root / "venv" / "bin" / "python", tree.root / "venv" / "lock.txt"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    lock.write_text("pytest>=1\n")
    only = ("--only", "comfyui-env")
    assert tree.verify(*only, COMFYUI_PYTHON=str(python)).of("comfyui-env").state == "ok"
    lock.write_text("pytest==1.0\n")
    unfit = tree.verify(*only, COMFYUI_PYTHON=str(python))
    assert unfit.code == 1
    assert "1 of 1 differ from lock.txt: pytest " in unfit.of("comfyui-env").found
    assert f"-m pip install --no-deps --require-hashes -r {lock}" in unfit.of("comfyui-env").found
    assert tree.verify(*only).of("comfyui-env").state == "not applicable"


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
    ("content", "found"),
    [
        ("def handler(event): return {}", "is not an async function"),
        ("def main(): pass", "has no attribute 'handler'"),
        ('raise OSError("no license")', "cannot be imported: OSError: no license"),
        ("import os; os.kill(os.getpid(), 11)", "cannot be imported: status -11"),
    ],
)
def test_a_handler_that_cannot_be_called_is_a_failure(tree: Tree, content: str, found: str) -> None:
    (tree.root / "handler.py").write_text(content)
    result = tree.verify("--only", "handler")
    assert result.code == 1
    assert found in result.of("handler").found


def test_a_setting_that_cannot_be_used_is_named(tree: Tree) -> None:
    result = tree.verify("--only", "settings", JOB_TIMEOUT="soon")
    assert result.code == 1
    assert "JOB_TIMEOUT='soon' must be a number" in result.of("settings").found


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
