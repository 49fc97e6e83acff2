"""Check this container or laptop. Prints one line per check: its state, what was found, and what to do.

states:
  ok              as required
  warning         jobs run, but something is not as intended
  fail            jobs fail or never arrive
  not applicable  nothing to check here: no GPU on a laptop, no queue outside RunPod

exit codes:
  0    no check failed
  1    at least one check failed
  2    an option is wrong
  130  interrupted
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from checks import bucket, comfyui, machine, software
from checks.place import ROOT, Finding, Place, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CHECKS: dict[str, Callable[[Place], Iterator[Finding]]] = {
    "python": software.check_python,
    "packages": software.check_packages,
    "comfyui-env": software.check_comfyui_packages,
    "settings": software.check_settings,
    "sdk": software.check_sdk,
    "handler": software.check_handler,
    "command": software.check_command,
    "environment": software.check_environment,
    "comfyui": comfyui.check_comfyui,
    "model": machine.check_models,
    "sets": machine.check_sets,
    "volume": machine.check_volume,
    "disk": machine.check_disk,
    "memory": machine.check_memory,
    "gpu": machine.check_gpu,
    "bucket": bucket.check_bucket,
}
SECRET_NAMES = re.compile("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
SHORTEST_SECRET = 6


def main(arguments: list[str]) -> int:
    """Run the checks that the command line asks for; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.disable()  # what matters is in the findings
    place = Place(os.environ, options.lock.resolve(), options.quick, options.place == "runpod")
    names = [name for chosen in options.only or [list(CHECKS)] for name in chosen]
    findings = []
    for finding in look(place, names):
        findings.append(finding)
        # What does not apply is of interest to those who ask for it.
        if not options.json and (options.all or options.only or finding.state != "not applicable"):
            print(format_line(finding), flush=True)
    fit = all(finding.state != "fail" for finding in findings)
    if options.json:
        print(json.dumps({"fit": fit, "checks": [dataclasses.asdict(finding) for finding in findings]}, indent=2))
    else:
        print(summarise(findings))
    return 0 if fit else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead: fit, and the checks")
    parser.add_argument(
        "--quick", action="store_true", help="skip what takes seconds: the SDK, models' structure, the bucket"
    )
    parser.add_argument("--all", action="store_true", help="also print the checks that do not apply here")
    parser.add_argument(
        "--only",
        nargs="+",
        type=_read_names,
        metavar="CHECK",
        help=f"some checks, also comma-separated: {', '.join(CHECKS)}",
    )
    parser.add_argument(
        "--for",
        dest="place",
        choices=("here", "runpod"),
        default="here",
        help="runpod: say what a worker of real clips would still need here; default: here",
    )
    parser.add_argument(
        "--lock",
        type=Path,
        default=ROOT / "requirements" / "worker.txt",
        metavar="FILE",
        help="what the packages must match; default: requirements/worker.txt",
    )
    return parser


def _read_names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in CHECKS]:
        raise argparse.ArgumentTypeError(f"no check {', '.join(unknown)}: choose from {', '.join(CHECKS)}")
    return names


def look(place: Place, names: Sequence[str]) -> Iterator[Finding]:
    """What the checks of these names find, without secrets."""
    for name in names:
        for finding in run_check(name, place):
            yield clean(finding, place.environ)


def run_check(name: str, place: Place) -> Iterator[Finding]:
    """What one check finds; when it breaks, it has failed."""
    try:
        yield from CHECKS[name](place)
    except ImportError as error:
        yield Finding(name, "fail", f"cannot be checked: {error}", "install what requirements/worker.txt names")
    except Exception as error:
        message = getattr(error, "message", None)  # a WorkerError's, which says what to do
        yield Finding(name, "fail", f"cannot be checked: {message or f'{type(error).__name__}: {error}'}")


def clean(finding: Finding, environ: Mapping[str, str]) -> Finding:
    """The finding without secrets, its text on one line."""
    found = re.sub(r"//[^/@\s]+@", "//***@", finding.found)
    found = re.sub(r"(https?://[^?\s]+)\?\S+", r"\1?***", found)
    for name, value in environ.items():
        if SECRET_NAMES.search(name) and len(value) >= SHORTEST_SECRET:
            found = found.replace(value, "***")
    return dataclasses.replace(finding, found=" ".join(found.split()))


def format_line(finding: Finding) -> str:
    """The finding as one line for people."""
    advice = f" -> {finding.advice}" if finding.advice else ""
    return f"{finding.state:<14}  {finding.check:<11}  {finding.found}{advice}"


def summarise(findings: list[Finding]) -> str:
    """How many findings there are of each state."""
    states = [finding.state for finding in findings]
    counts = [f"{states.count(state)} {state}" for state in get_args(State) if state in states]
    return f"{'not fit' if 'fail' in states else 'fit'}: {', '.join(counts)}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has closed its end; Python must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
