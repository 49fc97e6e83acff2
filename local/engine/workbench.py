"""What a node has at hand while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from local.engine.folders import Folders

Sample = Callable[[int, Image.Image | None], None]
"""Take that many sampling steps towards the picture; raises Interrupted."""


@dataclass(frozen=True)
class Workbench:
    """The same for every node of a prompt but for the sampling, which reports under its node's name."""

    folders: Folders
    metadata: Mapping[str, Any]
    """What savers write into their files."""
    sample: Sample
