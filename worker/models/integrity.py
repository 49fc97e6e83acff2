"""Is a file whole, and the model it says it is? Read from its first bytes, however large it is.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header: JSON that gives each
tensor's place in the data behind it (https://github.com/huggingface/safetensors#format).
"""

import json
from pathlib import Path
from typing import Any, BinaryIO

from worker.catalogue import ModelFile

SAFETENSORS = (".safetensors", ".sft")
MAX_HEADER = 16_000_000  # bytes: the largest models' have 3 MB; read as JSON each byte takes some ten


class _Unfit(Exception):
    """Why a file cannot be loaded."""


def find_fault(path: Path, model: ModelFile) -> str | None:
    """Say why ComfyUI could not load `path` as `model`; None: it is whole, as far as files of its kind tell."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if model.path.suffix not in SAFETENSORS:
                _check_start(file.read(64), size)
                return None
            header, length = _read_header(file, size)
        _check_length(header, length, size)
        _check_kind(header, model)
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except _Unfit as fault:
        return str(fault)
    return None


def note_size(path: Path, model: ModelFile) -> str | None:
    """Say how a whole file differs from the published one."""
    size = path.stat().st_size
    if model.about or model.size in {None, size}:
        return None
    return f"has {size:,} bytes, the published file {model.size:,}"


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    start = file.read(64)
    _check_start(start, size)
    length = int.from_bytes(start[:8], "little")
    if not start[8:].startswith(b"{"):
        raise _Unfit(f"is not a safetensors file: it begins with {start[:16]!r}")
    if length > MAX_HEADER:
        raise _Unfit(f"is not a safetensors file of a model: its header would have {length:,} of {MAX_HEADER:,} bytes")
    if 8 + length > size:
        raise _Unfit(f"is cut: {size:,} bytes, less than its header")
    file.seek(8)
    return _parse_header(file.read(length)), length


def _check_start(start: bytes, size: int) -> None:
    """What is no model of any kind."""
    if size == 0:
        raise _Unfit("is empty")
    if start.startswith(b"version https://git-lfs"):
        raise _Unfit("is a Git LFS pointer, not the file itself")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise _Unfit(f"is a web page, not a model: it begins with {start[:16]!r}")


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unfit("has a damaged header") from error
    if not isinstance(header, dict):
        raise _Unfit("has a damaged header")
    header.pop("__metadata__", None)
    return header


def _check_length(header: dict[str, Any], length: int, size: int) -> None:
    try:
        ends = [int(tensor["data_offsets"][1]) for tensor in header.values()]
    except (TypeError, KeyError, IndexError, ValueError, OverflowError) as error:
        raise _Unfit("has a damaged header") from error
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise _Unfit(f"is cut: {size:,} of {whole:,} bytes")
    if size > whole:
        raise _Unfit(f"has {size - whole:,} bytes too many: {size:,} instead of {whole:,}")


def _check_kind(header: dict[str, Any], model: ModelFile) -> None:
    if not any(name.endswith(model.tensor) for name in header):
        raise _Unfit(f"is another kind of model: it has no tensor {model.tensor}")
