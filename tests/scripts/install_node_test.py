"""install_node.py as it runs: a real environment, real wheels, archives over HTTP; only ComfyUI is small."""

import functools
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "install_node.py"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Imports the one node pack it is allowed, as ComfyUI does, and tells of its failure as ComfyUI does.
MAIN = """
import importlib.util, pathlib, sys, traceback
name = sys.argv[sys.argv.index("--whitelist-custom-nodes") + 1]
folder = pathlib.Path.cwd() / "custom_nodes" / name
spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
try:
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
except Exception:
    traceback.print_exc()
    print(f"   0.0 seconds (IMPORT FAILED): {folder}")
"""


def write_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        about = f"{name}-{version}.dist-info"
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        need = f"Requires-Dist: {requires}\n" if requires else ""
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{need}")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


class Place:
    """A ComfyUI with an environment that holds digits 1.0, and a server of node packs."""

    def __init__(self, folder: Path, url: str, template: Path) -> None:
        self.folder, self.url, self.comfyui, self.wheels = folder, url, folder / "comfyui", folder / "wheels"
        self.nodes = self.comfyui / "custom_nodes"
        self.nodes.mkdir(parents=True)
        self.wheels.mkdir()
        (self.comfyui / "main.py").write_text(MAIN)
        for version in ("1.0", "2.0"):
            write_wheel(self.wheels, "digits", version)
        write_wheel(self.wheels, "films", "0.5", requires="digits")
        shutil.copytree(template, folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        self.pip("install", "digits==1.0")

    def pip(self, *arguments: str) -> str:
        return self.run("-m", "pip", *arguments).stdout

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        command = [str(self.python), *map(str, arguments)]
        return subprocess.run(
            command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=100, check=False
        )

    def publish(self, files: Mapping[str, str], name: str = "Films") -> str:
        """Serve a pack's commit as GitHub does; returns the repository's URL."""
        archives = self.folder / "www" / "someone" / name / "archive"
        archives.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archives / f"{COMMIT}.tar.gz", "w:gz") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(f"{name}-{COMMIT}/{path}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return f"{self.url}/someone/{name}"

    def install(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return self.run(SCRIPT, "--comfyui", self.comfyui, *arguments)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.nodes.iterdir())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip alone: making one takes seconds, a copy does not."""
    folder = tmp_path_factory.mktemp("template") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def place(tmp_path: Path, template: Path) -> Iterator[Place]:
    (tmp_path / "www").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield Place(tmp_path, f"http://127.0.0.1:{server.server_port}", template)
        server.shutdown()


def test_a_pack_comes_with_its_requirements_once_and_nothing_else_moves(place: Place) -> None:
    pack = place.publish({"__init__.py": "import films, digits\n", "requirements.txt": "films\n", "web/a.js": ""})
    first = place.install(f"{pack}.git", COMMIT)
    assert first.returncode == 0, first.stderr
    assert place.left() == ["Films"]
    assert (place.nodes / "Films" / "web" / "a.js").exists()
    assert place.pip("freeze").split() == ["digits==1.0", "films==0.5"]
    again = place.install(pack, COMMIT)
    assert (again.returncode, again.stdout) == (0, f"Films is installed at {COMMIT}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_pack_belongs_to_comfyuis_user(place: Place) -> None:
    pack = place.publish({"__init__.py": "", "web/a.js": ""})
    assert place.install("--owner", "daemon", pack, COMMIT).returncode == 0
    assert {path.owner() for path in [place.nodes / "Films", *(place.nodes / "Films").rglob("*")]} == {"daemon"}
    assert place.nodes.owner() == "root"


def test_a_requirement_that_would_move_a_locked_package_is_refused_with_both_versions(place: Place) -> None:
    pack = place.publish({"__init__.py": "", "requirements.txt": "films\ndigits>=2\n"})
    result = place.install(pack, COMMIT)
    assert result.returncode == 1
    assert "requirements.txt would move digits" in result.stderr
    assert "from 1.0 to 2.0, which ComfyUI's lock holds" in result.stderr
    assert place.left() == []
    assert place.pip("freeze").split() == ["digits==1.0"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"__init__.py": "import ctypes; ctypes.CDLL('libGone.so.1')"}, "libGone.so.1 is part of a system package"),
        ({"__init__.py": "raise ValueError('not today')"}, "not today"),
        ({"requirements.txt": "no-such-package", "__init__.py": ""}, "no-such-package"),
        ({"../../escaped": "", "__init__.py": ""}, "outside"),
    ],
)
def test_a_pack_that_does_not_work_here_is_not_left_behind(place: Place, files: dict[str, str], reason: str) -> None:
    result = place.install(place.publish(files), COMMIT)
    assert result.returncode == 1
    assert reason in result.stderr
    assert place.left() == []
    assert not list(place.folder.rglob("escaped"))


def test_what_is_there_from_elsewhere_is_not_replaced(place: Place) -> None:
    (place.nodes / "Films").mkdir()
    result = place.install(place.publish({"__init__.py": ""}), COMMIT)
    assert result.returncode == 1
    assert "is there already" in result.stderr


def test_a_list_of_packs_is_installed_and_the_projects_own_is_one(place: Place) -> None:
    packs = [place.publish({"__init__.py": ""}, name) for name in ("Films", "Sounds")]
    listed = place.folder / "custom_nodes.toml"
    listed.write_text("".join(f'[[node_pack]]\nrepository = "{pack}"\ncommit = "{COMMIT}"\n' for pack in packs))
    assert place.install("--file", listed).returncode == 0
    assert place.left() == ["Films", "Sounds"]
    listed.write_text(f'[[node_pack]]\nrepository = "{packs[0]}"\n')
    assert "each [[node_pack]] needs a repository and a commit" in place.install("--file", listed).stderr
    shipped = place.install("--file", ROOT / "requirements" / "custom_nodes.toml")
    assert shipped.returncode == 0, shipped.stderr


@pytest.mark.parametrize(
    ("repository", "commit", "reason"),
    [
        ("https://github.com/someone/Films", "main", "'main' is no full commit id"),
        ("file:///etc/films", COMMIT, "is no repository's URL"),
        ("http://127.0.0.1:1/someone/Films", COMMIT, "cannot be fetched"),
    ],
)
def test_what_names_no_commit_of_a_repository_is_refused(
    place: Place, repository: str, commit: str, reason: str
) -> None:
    result = place.install(repository, commit)
    assert result.returncode == 1
    assert reason in result.stderr
