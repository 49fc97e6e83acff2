"""requirements/environment.sh, which make calls: an environment that can be used, or one line that says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT


def play_python(path: Path, version: str, *, venv: str = "exit 1") -> Path:
    """A program that is Python `version` as far as the script asks; `venv` is what its `-m venv FOLDER` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" != -c ] || {{ echo {version}; exit; }}\nfolder=$3\n{venv}\n')
    path.chmod(0o755)
    return path


def create(folder: Path, python: "Path | str" = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "requirements" / "environment.sh", "create", folder],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(done: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in parts), done.stderr


def test_a_python_too_old_makes_nothing(tmp_path: Path) -> None:
    done = create(tmp_path / "venv", play_python(tmp_path / "python", "3.9"))
    assert_refused(done, "is Python 3.9, and 3.10 or later is needed: make PYTHON=python3.")
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert_refused(create(tmp_path / "venv", "/nowhere/python"), "/nowhere/python does not run")


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("echo 'Error: ensurepip is not available' >&2", "apt-get install python3.12-venv"),
        ("echo 'Error: [Errno 28] No space left on device' >&2", "No space left on device"),
    ],
)
def test_an_environment_that_cannot_be_made_whole_leaves_nothing(tmp_path: Path, fault: str, advice: str) -> None:
    python = play_python(tmp_path / "python", "3.12", venv=f'mkdir -p "$folder/bin"; {fault}; exit 1')
    assert_refused(create(tmp_path / "venv", python), advice)
    assert not (tmp_path / "venv").exists()


def test_an_environment_of_another_python_is_not_used(tmp_path: Path) -> None:
    play_python(tmp_path / "venv" / "bin" / "python", "3.11")
    assert create(tmp_path / "venv").returncode == 0
    done = create(tmp_path / "venv", play_python(tmp_path / "python", "3.12"))
    assert_refused(done, "has Python 3.11", "is Python 3.12: rm -r", "or leave PYTHON out")


@pytest.mark.parametrize("version", ["3.8", ""])
def test_an_environment_of_a_python_too_old_or_gone_is_named(tmp_path: Path, version: str) -> None:
    play_python(tmp_path / "venv" / "bin" / "python", version)
    assert_refused(create(tmp_path / "venv"), f"{tmp_path}/venv has ", f"rm -r {tmp_path}/venv")


def test_an_environment_without_pip_is_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    done = subprocess.run(
        [ROOT / "requirements" / "environment.sh", "install", tmp_path / "venv", "lock"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_refused(done, f"{tmp_path}/venv has no pip: rm -r {tmp_path}/venv")
