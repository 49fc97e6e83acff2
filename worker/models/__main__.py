"""The models from the command line: bring, check, warm or list them; exit 1 where a promise cannot be kept."""

import argparse
import logging
import sys
from pathlib import Path

from worker import catalogue, config, logs
from worker.errors import WorkerError
from worker.models import bring

log = logging.getLogger("models")


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.models", description=__doc__)
    parser.add_argument("command", choices=("bring", "check", "warm", "list"))
    parser.add_argument("--state", type=Path, help="a file that gets `ready` when all is well, else the reason")
    options = parser.parse_args(arguments)
    logs.setup("INFO")
    try:
        settings = config.read_models()
        logs.setup(settings.log_level)
        status, state = _run(options.command, settings), "ready"
    except WorkerError as error:
        log.error("%s", error.message)
        status, state = 1, error.message
    if options.state:
        options.state.write_text(f"{state}\n", encoding="utf-8")
    return status


def _run(command: str, settings: config.ModelSettings) -> int:
    if command == "check":
        return 0 if bring.check(settings) else 1
    if command == "bring":
        bring.bring(settings)
    elif command == "warm":
        bring.warm(settings)
    else:
        for model in catalogue.load(settings.sets, settings.urls):
            log.info("%s from %s", model.path, model.url.partition("?")[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
