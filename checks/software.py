"""Python, packages, the SDK, the handler, and what keeps it from taking jobs."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from checks.place import ROOT, Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

OLDEST_PYTHON = (3, 10)
IMPORT_TIMEOUT = 120  # a cold network disk reads the SDK's 3000 files slowly
SHOWN = 5

SDK_PROGRAM = "import runpod; assert callable(runpod.serverless.start); print(runpod.__version__)"
HANDLER_PROGRAM = (
    "import inspect, handler; print(callable(handler.handler), inspect.iscoroutinefunction(handler.handler))"
)

# What the SDK reads, and what becomes of a worker without it.
PLATFORM_VARIABLES = {
    "RUNPOD_WEBHOOK_GET_JOB": "no job is taken from the queue",
    "RUNPOD_WEBHOOK_POST_OUTPUT": "no result arrives",
    "RUNPOD_WEBHOOK_PING": "the platform hears no heartbeat",
    "RUNPOD_AI_API_KEY": "the platform accepts neither heartbeat nor results",
    "RUNPOD_POD_ID": "the platform cannot tell whose heartbeat it hears",
}


def check_python(_place: Place) -> Iterator[Finding]:
    """Python is one that the lock is made for."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("python", "fail", found, f"use Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later")
    else:
        yield Finding("python", "ok", found)


def check_packages(place: Place) -> Iterator[Finding]:
    """Every package of the lock that this Python needs is installed in the locked version."""
    from packaging.requirements import Requirement

    lines = place.lock.read_text(encoding="utf-8").splitlines()
    locked = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #-"]
    # One with extras stands twice.
    needed = {package.name: package for package in locked if package.marker is None or package.marker.evaluate()}
    faults = [fault for package in needed.values() if (fault := _compare(package))]
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        found = f"{len(faults)} of {len(needed)} differ from {place.lock.name}: {', '.join(faults[:SHOWN])}{more}"
        # Without --no-deps pip would resolve anew, and take a release that the lock has no hash for.
        install = f"{sys.executable} -m pip install --no-deps --require-hashes -r {place.lock}"
        yield Finding("packages", "fail", found, install)
    else:
        yield Finding("packages", "ok", f"{len(needed)} packages as in {place.lock.name}")


def check_comfyui_packages(place: Place) -> Iterator[Finding]:
    """ComfyUI's own environment holds what it was made from; its Python tells."""
    python = Path(place.environ.get("COMFYUI_PYTHON", ""))
    lock = python.parents[1] / "lock.txt" if python.is_absolute() else Path()
    if not lock.is_file():
        yield Finding("comfyui-env", "not applicable", "COMFYUI_PYTHON is in no environment of install_comfyui.sh")
        return
    command = [str(python), "verify_setup.py", "--json", "--only", "packages", "--lock", str(lock)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=IMPORT_TIMEOUT, check=False)  # noqa: S603 # this program
    (found,) = json.loads(done.stdout)["checks"]
    yield Finding("comfyui-env", found["state"], found["found"], found["advice"])


def _compare(package: Requirement) -> str | None:
    """How the installed package differs from the locked one."""
    try:
        installed = metadata.version(package.name)
    except metadata.PackageNotFoundError:
        return f"{package.name} is missing"
    if package.specifier.contains(installed, prereleases=True):
        return None
    return f"{package.name} {installed} instead of {package.specifier}"


def check_sdk(place: Place) -> Iterator[Finding]:
    """The SDK can be imported."""
    if place.quick:
        yield place.skip("sdk")
        return
    imported, answer = _run_python(SDK_PROGRAM, place)
    if imported:
        yield Finding("sdk", "ok", f"runpod {answer} can be imported")
    else:
        yield Finding("sdk", "fail", f"runpod cannot be imported: {answer}", "install the packages of the lock")


def check_handler(place: Place) -> Iterator[Finding]:
    """handler.py has an async `handler`."""
    imported, answer = _run_python(HANDLER_PROGRAM, place)
    if not imported:
        yield Finding("handler", "fail", f"handler.py cannot be imported: {answer}", "see the packages and settings")
    elif answer != "True True":
        advice = "define `async def handler(event)`: a stop signal would wait until the job is done"
        yield Finding("handler", "fail", "`handler` in handler.py is not an async function", advice)
    else:
        yield Finding("handler", "ok", "handler.py can be imported; `handler` is callable and async")


def _run_python(program: str, place: Place) -> tuple[bool, str]:
    """Whether the program ends well, and its last line; a process of its own survives a crash of native code."""
    command = [sys.executable, "-c", program]
    try:
        result = subprocess.run(  # noqa: S603 # this Python, with the programs above
            command,
            cwd=ROOT,
            env=dict(place.environ),
            capture_output=True,
            text=True,
            timeout=IMPORT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"it takes more than {IMPORT_TIMEOUT} s"
    text = result.stderr if result.returncode else result.stdout
    return result.returncode == 0, next(iter(text.strip().splitlines()[-1:]), f"status {result.returncode}")


def check_settings(place: Place) -> Iterator[Finding]:
    """Every setting of the environment can be used; raises ConfigError naming one that cannot."""
    from worker import config

    settings = config.read(place.environ)
    config.read_models(place.environ)
    if settings.comfyui_dir and not settings.comfyui_dir.is_dir():
        found = f"COMFYUI_DIR={settings.comfyui_dir} is no folder"
        yield Finding("settings", "fail", found, "point it at ComfyUI's folder, or unset it")
    else:
        yield Finding("settings", "ok", "all settings are valid")


def check_command(place: Place) -> Iterator[Finding]:
    """No command line of the container keeps the handler from taking jobs."""
    from worker import sdk

    commands = dict(_handler_commands())
    flags = {flag for arguments in commands.values() for flag in sdk.find_silencers(arguments)}
    if flags:
        found = "; ".join(f"{flag}: {sdk.SILENCERS[flag]}" for flag in sorted(flags))
        yield place.fault("command", found, "remove it from the container's command: no job is taken")
    elif commands:
        yield Finding(
            "command", "ok", f"process {min(commands)} runs handler.py, and nothing keeps it from taking jobs"
        )
    elif place.on_platform:
        advice = "let the container's command be: python -u handler.py"
        yield Finding("command", "warning", "no handler.py runs here: no job is taken now", advice)
    else:
        yield Finding("command", "not applicable", "no handler.py runs here")


def _handler_commands() -> Iterator[tuple[int, list[str]]]:
    """Id and arguments of each process whose command line names this handler.py: its own, and tini's."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            named = [Path(argument) for argument in arguments if Path(argument).name == "handler.py"]
            if any((folder / "cwd" / path).samefile(ROOT / "handler.py") for path in named):
                yield int(folder.name), arguments


def check_environment(place: Place) -> Iterator[Finding]:
    """The environment lets the SDK take jobs."""
    if place.environ.get("RUNPOD_REALTIME_PORT"):
        found = "RUNPOD_REALTIME_PORT is set: the SDK serves HTTP and takes no job"
        yield Finding("environment", "fail", found, "remove it from the endpoint's environment variables")
        return
    if not place.on_platform:
        yield Finding("environment", "not applicable", "not on RunPod: handler.py starts a local endpoint")
        return
    missing = {name: effect for name, effect in PLATFORM_VARIABLES.items() if not place.environ.get(name)}
    if missing:
        found = "; ".join(f"{name} is missing: {effect}" for name, effect in missing.items())
        yield Finding("environment", "fail", found, "run this image as a serverless worker, which is given them")
    else:
        yield Finding("environment", "ok", "all that the SDK needs to take jobs is set")
