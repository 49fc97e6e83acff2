"""Small files that pass as the models of the catalogue."""

import json
import os

from worker import catalogue

MODELS = catalogue.load(["default"], {})
VAE = next(model for model in MODELS if model.folder == "vae")


def make_header(model: catalogue.ModelFile, size: int) -> bytes:
    """The start of a safetensors file with one tensor of `size` bytes, named as in this kind of model."""
    tensor = {"x." + model.tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    header = json.dumps(tensor).encode()
    return len(header).to_bytes(8, "little") + header


def make_model(model: catalogue.ModelFile, size: int = 5000) -> bytes:
    """A whole file."""
    return make_header(model, size) + os.urandom(size)
