"""Imported first by each program: a missing package, or too old a Python, is one line that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.argv[0]).name


def _advise() -> str:
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != python.parents[1]:
        return f"run it in the environment that make has made: {python} {PROGRAM}"
    return f"run `make run` once, which makes one, or `python -m pip install -r {ROOT / 'requirements' / 'local.txt'}`"


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not package or (ROOT / package).exists():
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"{PROGRAM}: this Python, {sys.executable}, has no package {package}: {_advise()}\n")


if sys.version_info < (3, 10):  # noqa: UP036 - this file is what an older one reads
    version = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"{PROGRAM}: Python 3.10 or later is needed, and {sys.executable} is {version}: {_advise()}")
if PROGRAM.endswith(".py"):  # what `python -c` imports has its own way to report
    sys.excepthook = _explain
