"""The models from the command line: bring, check, warm, list or add. Exits 1 on failure."""

import argparse
import logging
import os
import sys
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from worker import config, logs
from worker.errors import ConfigError, WorkerError
from worker.models import bring, own

log = logging.getLogger("models")
COMMANDS = {
    "bring": "put every model in place",
    "check": "check that every model in place is complete",
    "warm": "read linked models into memory",
    "list": "the models that MODEL_SETS brings",
}


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    options = _parse(arguments)
    logs.setup("INFO")
    try:
        settings = config.read_models()
        logs.setup(settings.log_level)
        status, state = _run(options, settings), "ready"
    except WorkerError as error:
        log.error("%s", error.message)
        status, state = 1, error.message
    except OSError as error:
        status, state = 1, f"{error.filename}: {error.strerror}"
        log.error("%s", state)
    if options.state:
        options.state.write_text(f"{state}\n", encoding="utf-8")
    return status


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.models", description=__doc__)
    parser.set_defaults(state=None)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--state", type=Path, help="a file that gets `ready`, or the reason why not")
    add = commands.add_parser("add", help="list a file of your own in models.toml", description="see docs/MODELS.md")
    add.add_argument("url", metavar="URL")
    add.add_argument("folder", metavar="FOLDER", help="ComfyUI's folder for it below models/, such as loras")
    add.add_argument("--name", help="its file name; by default the last part of the URL")
    add.add_argument("--sha256", help="what the download must have")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, settings: config.ModelSettings) -> int:
    if options.command == "check":
        return 0 if bring.check(settings) else 1
    if options.command == "bring":
        bring.bring(settings)
    elif options.command == "warm":
        bring.warm(settings)
    elif options.command == "add":
        _add(options, settings)
    else:
        for model in own.chosen(settings):
            log.info("%s from %s", model.path, model.url.partition("?")[0])
    return 0


def _add(options: argparse.Namespace, settings: config.ModelSettings) -> None:
    name = options.name or PurePosixPath(unquote(urlsplit(options.url).path)).name
    if not PurePosixPath(name).suffix:
        raise ConfigError(f"the URL ends in {name!r}, which is no model's file name: give it with --name")
    try:
        file = own.OwnFile(name=name, folder=options.folder, url=options.url, sha256=options.sha256)
    except ValidationError as error:
        raise ConfigError(own.explain(error)) from None
    path = own.add(file, settings)
    log.info("%s lists %s/%s: the next start brings it, or now: python -m worker.models bring", path, file.folder, name)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # a download that is of no use any more cannot be stopped, and would be waited for
