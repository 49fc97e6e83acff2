"""The models from the command line: bring, check, warm, list or add. Exits 1 on failure."""

import argparse
import difflib
import logging
import os
import sys
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from worker import config, logs
from worker.errors import ConfigError, WorkerError
from worker.models import bring, own
from worker.models.volume import OLD_NAMES, parse_hub_url

log = logging.getLogger("models")
HUB = "https://huggingface.co"
COMFYUI_FOLDERS = (
    *("checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models"),
    *("embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models"),
    *("hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders", "background_removal"),
    *("frame_interpolation", "geometry_estimation", "optical_flow", "detection", *OLD_NAMES.values()),
)
"""Of release 0.33.0 (folder_paths.py); node packs have others."""
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
    add.add_argument("url")
    add.add_argument("folder", help="ComfyUI's folder for it below models/, such as loras")
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
    url = urlsplit(options.url)
    if fault := _find_page(options.url) or _find_typo(options.folder):
        raise ConfigError(fault)
    name = options.name or PurePosixPath(unquote(url.path)).name
    if not PurePosixPath(name).suffix:
        raise ConfigError(f"the URL ends in {name!r}, which is no model's file name: give it with --name")
    try:
        file = own.OwnFile(name=name, folder=options.folder, url=options.url, sha256=options.sha256)
    except ValidationError as error:
        raise ConfigError(own.explain(error)) from None
    path = own.add(file, settings)
    if "token=" in url.query:
        log.warning("the URL has a token, which stands in %s as it is: whoever reads the volume has it", path)
    log.info("%s lists %s/%s: the next start brings it, or now: python -m worker.models bring", path, file.folder, name)


def _find_page(url: str) -> str | None:
    """Why an address is no file's, where people copy that of the page about it."""
    host, path = urlsplit(url).netloc.lower().removeprefix("www."), urlsplit(url).path
    if host in {"huggingface.co", "hf.co"} and not parse_hub_url(url, HUB):
        return (
            f"URL: a page of the hub, not a file: use {HUB}/ORG/REPOSITORY/resolve/main/PATH, as its download link is"
        )
    if host.startswith("civitai.") and not path.startswith("/api/download/"):
        return f"URL: a page, not a file: copy the Download button's link, https://{host}/api/download/models/VERSION"
    return None


def _find_typo(folder: str) -> str | None:
    """Why a folder is probably none of ComfyUI's; None: it is one, or may be a node pack's."""
    first, *below = folder.split("/")
    if first == "models" and below:
        return f"FOLDER: is below models/ already: {'/'.join(below)}"
    near = difflib.get_close_matches(first.lower(), COMFYUI_FOLDERS, cutoff=0.8)
    if near and first not in COMFYUI_FOLDERS:
        return f"FOLDER: ComfyUI has no {first!r} below models/; did you mean {near[0]}?"
    return None


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # a download that is of no use any more cannot be stopped, and would be waited for
