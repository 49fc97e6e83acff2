"""Install node packs into a ComfyUI while an image is built: `install-node REPOSITORY COMMIT`.

Each pack is one commit of its repository, fetched as an archive (https://github.com/OWNER/NAME has them, and so do
Gitea's servers); its requirements.txt goes into ComfyUI's environment, in which no package that is there already may
move. ComfyUI then starts once: a pack that it cannot import is not left behind. Runs with that environment's Python and
needs nothing else.
"""

import argparse
import compileall
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli")
PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--prefer-binary")
START = ("main.py", "--cpu", "--disable-api-nodes", "--quick-test-for-ci", "--disable-all-custom-nodes")
MARK = ".installed_commit"
SHOWN_LINES = 15


class Failure(Exception):
    """Why a pack cannot be installed."""


@dataclass(frozen=True)
class Pack:
    """A node pack at a commit."""

    repository: str
    commit: str

    @property
    def name(self) -> str:
        """Its folder below custom_nodes/."""
        return self.repository.rsplit("/", 1)[-1]

    @classmethod
    def read(cls, repository: str, commit: str) -> "Pack":
        """Raises Failure for what names no commit of a repository."""
        repository = repository.rstrip("/").removesuffix(".git")
        if not re.fullmatch(r"https?://[^/\s]+(/[\w.-]+){2,}", repository):
            raise Failure(f"{repository!r} is no repository's URL, as https://github.com/OWNER/NAME")
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise Failure(f"{commit!r} is no full commit id: a branch or tag could move")
        return cls(repository, commit)


def main(arguments: Sequence[str]) -> int:
    """Install what is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="install-node", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("repository", nargs="?", help="as https://github.com/OWNER/NAME")
    parser.add_argument("commit", nargs="?", help="a full commit id")
    parser.add_argument("--file", type=Path, help="a list of node packs instead, as requirements/custom_nodes.toml")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder; the image's command has it")
    parser.add_argument("--owner", help="ComfyUI's user, who gets the packs; the image's command has it")
    options = parser.parse_args(arguments)
    if bool(options.file) == bool(options.commit):
        parser.error("give REPOSITORY and COMMIT, or --file")
    try:
        packs = read_list(options.file) if options.file else [Pack.read(options.repository, options.commit)]
        for pack in packs:
            install(pack, options.comfyui, options.owner)
    except Failure as failure:
        print(f"install-node: {failure}", file=sys.stderr)
        return 1
    return 0


def read_list(path: Path) -> list[Pack]:
    """The packs of a TOML file's [[node_pack]] entries."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("node_pack", [])
        return [Pack.read(entry["repository"], entry["commit"]) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path}: each [[node_pack]] needs a repository and a commit: {error}") from error


def install(pack: Pack, comfyui: Path, owner: str | None) -> None:
    """Put the pack into ComfyUI's custom_nodes/, or raise Failure; then at most its requirements are there."""
    target = comfyui / "custom_nodes" / pack.name
    if target.exists():
        if (target / MARK).exists() and (target / MARK).read_text() == pack.commit:
            print(f"{pack.name} is installed at {pack.commit}")
            return
        raise Failure(f"{target} is there already, at another commit or from elsewhere: remove it first")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as folder:
        source = fetch(pack, Path(folder))
        if (source / "requirements.txt").is_file():
            install_requirements(pack, source / "requirements.txt", Path(folder))
        (source / MARK).write_text(pack.commit)
        source.rename(target)
    try:
        compileall.compile_dir(target, quiet=2)
        start(pack, comfyui)
        if owner:
            give(target, owner)
    except BaseException:
        shutil.rmtree(target)
        raise
    print(f"installed {pack.name} at {pack.commit}")


def fetch(pack: Pack, folder: Path) -> Path:
    """Download and unpack the commit below `folder`; returns the pack's own folder."""
    url = f"{pack.repository}/archive/{pack.commit}.tar.gz"
    try:
        with urllib.request.urlopen(url, timeout=60) as reply, tarfile.open(fileobj=reply, mode="r|gz") as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (source,) = (folder / "unpacked").iterdir()
    except (OSError, tarfile.TarError, ValueError) as error:
        raise Failure(f"{url} cannot be fetched: {error}") from error
    return source


def install_requirements(pack: Pack, requirements: Path, folder: Path) -> None:
    """Install what the pack requires beside what is there; raises Failure naming what would have to move."""
    installed = {canonical(package.name): package.version for package in metadata.distributions()}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in installed.items()))
    done = run([*PIP, "--quiet", "--constraint", constraints, "--requirement", requirements], requirements.parent)
    if done.returncode == 0:
        return
    moves = [f"{name} from {old} to {new}" for name, old, new in find_moves(requirements, installed, folder)]
    if moves:
        raise Failure(
            f"{pack.name} is not installed: its requirements.txt would move {', '.join(moves)}, which ComfyUI's lock "
            "holds. Use a commit of the pack that takes these versions, or build with another lock"
        )
    raise Failure(f"{pack.name}: its requirements.txt cannot be installed:\n{last_lines(done)}")


def find_moves(requirements: Path, installed: dict[str, str], folder: Path) -> Iterator[tuple[str, str, str]]:
    """What pip would do with the packages that are there, if it were free to: name, version now and then."""
    report = folder / "report.json"
    run([*PIP, "--quiet", "--dry-run", "--report", report, "--requirement", requirements], requirements.parent)
    for item in json.loads(report.read_text())["install"] if report.exists() else []:
        name, version = canonical(item["metadata"]["name"]), item["metadata"]["version"]
        if name in installed and installed[name] != version:
            yield name, installed[name], version


def canonical(name: str) -> str:
    """A package's one name of the many that mean it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def start(pack: Pack, comfyui: Path) -> None:
    """Start ComfyUI with this pack alone, on the CPU; raises Failure with what it says where it cannot import it."""
    done = run([sys.executable, *START, "--whitelist-custom-nodes", pack.name], comfyui)
    if done.returncode or re.search(rf"\(IMPORT FAILED\):.*{re.escape(pack.name)}$", done.stdout, re.MULTILINE):
        advice = ""
        if library := re.search(r"(lib\S+\.so\S*): cannot open shared object", done.stdout):
            advice = f"\n{library[1]} is part of a system package: install that first, with apt-get"
        raise Failure(f"ComfyUI cannot import {pack.name}:\n{last_lines(done)}{advice}")


def give(folder: Path, owner: str) -> None:
    """Let ComfyUI's user own the pack: some write settings and caches beside their code."""
    entry = pwd.getpwnam(owner)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def run(command: Sequence[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command there, with both its outputs as one text."""
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )


def last_lines(done: "subprocess.CompletedProcess[str]") -> str:
    """The end of what a command said."""
    return "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-SHOWN_LINES:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
