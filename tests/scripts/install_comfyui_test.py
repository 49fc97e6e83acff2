"""install_comfyui.sh as it runs: a real repository, real wheels, a real environment; only ComfyUI is small."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "install_comfyui.sh"
# Says how it was started, as ComfyUI would say that it can be.
MAIN = "import pathlib, sys; pathlib.Path('started').write_text(' '.join(sys.argv[1:]))"
TORCH = {"torch": "class version:\n    cuda = '12.4'\n", "torchvision": "", "torchaudio": ""}


def run(*arguments: object, **environment: object) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    command = [str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


class Repository:
    """A ComfyUI of two files in a git repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        git(folder, "init", "--quiet")
        self.commit = self.write(requirements="pytest\n")

    def write(self, requirements: str) -> str:
        (self.folder / "main.py").write_text(MAIN)
        (self.folder / "requirements.txt").write_text(requirements)
        git(self.folder, "add", ".")
        git(self.folder, "commit", "--quiet", "--message", "ComfyUI")
        return git(self.folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def install_tree(repository: Repository, tree: Path, commit: str) -> "subprocess.CompletedProcess[str]":
    return run("tree", tree, sys.prefix, COMFYUI_REPOSITORY=repository.folder, COMFYUI_COMMIT=commit)


def test_the_tree_is_the_commit_compiled_started_once_and_not_fetched_again(repository, tmp_path):
    tree, wanted = tmp_path / "tree", repository.commit
    repository.write(requirements="pytest\nnot-in-any-lock\n")
    result = install_tree(repository, tree, wanted)
    assert result.returncode == 0, result.stderr
    assert git(tree, "rev-parse", "HEAD") == wanted
    assert list(tree.glob("__pycache__/main.*.pyc"))
    assert "--cpu" in (tree / "started").read_text()
    (tree / "model").write_text("21 GB")
    repository.folder.rename(tmp_path / "gone")
    assert install_tree(repository, tree, wanted).returncode == 0
    assert (tree / "model").exists()


def test_a_branch_is_no_commit(repository, tmp_path):
    result = install_tree(repository, tmp_path / "tree", "master")
    assert result.returncode == 1
    assert "COMFYUI_COMMIT=master is no full commit id" in result.stderr


def test_a_package_that_the_lock_lacks_is_named(repository, tmp_path):
    commit = repository.write(requirements="pytest\nnot-in-any-lock\n")
    result = install_tree(repository, tmp_path / "tree", commit)
    assert result.returncode == 1
    assert "not-in-any-lock" in result.stderr
    assert "see requirements/comfyui.in" in result.stderr


def make_lock(folder: Path) -> Path:
    """Wheels of what the script proves by import, and a lock with their hashes."""
    lines = []
    for name, code in TORCH.items():
        wheel = folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}.py", "__version__ = '1.0'\n" + code)
            archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(
                f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
        lines.append(f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    lock = folder / "lock.txt"
    lock.write_text("".join(lines))
    return lock


def install_environment(venv: Path, lock: Path) -> "subprocess.CompletedProcess[str]":
    return run("environment", venv, lock, PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX=1, PIP_FIND_LINKS=lock.parent)


def test_the_environment_holds_what_the_lock_names_and_is_made_once(tmp_path):
    lock, venv = make_lock(tmp_path), tmp_path / "venv"
    result = install_environment(venv, lock)
    assert result.returncode == 0, result.stderr
    assert "torch 1.0 CUDA 12.4" in result.stdout
    again = install_environment(venv, lock)
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [(), ("tree", "folder"), ("both", "folder", "venv")])
def test_wrong_usage_is_told(arguments):
    result = run(*arguments)
    assert result.returncode == 1
    assert "environment" in result.stderr
