"""What the tests of the command-line programs share."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import test_runpod_local
from tests.scripts.played_endpoint import PROGRAM, PlayedEndpoint, Program, played_endpoint


@pytest.fixture
def endpoint() -> Iterator[PlayedEndpoint]:
    with played_endpoint() as played:
        yield played


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs the program in an empty folder."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if name != "RUNPOD_API_KEY"}
        return subprocess.run(
            [sys.executable, str(PROGRAM), *arguments],
            cwd=tmp_path,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """Calls the program's main in this process, which saves half a second where only the outcome differs."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        code = test_runpod_local.main([*arguments, "--out", str(tmp_path / "outputs")])
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return run
