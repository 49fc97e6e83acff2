"""Whether a worker takes jobs: what it refuses once ComfyUI answers."""

import dataclasses
import time

import pytest

from tests.scripts.verified_tree import comfyui, http_server
from worker import config, startup
from worker.errors import ConfigError


@pytest.mark.parametrize(("torch", "fit"), [("2.6.0+cu124", False), ("2.9.1+cu128", True)])
def test_an_option_that_comfyuis_torch_lacks_is_refused_before_any_job(torch, fit):
    with http_server(comfyui(torch=torch)) as url:
        settings = config.load({"COMFYUI_URL": url, "GRAPH_OPTIONS": "torch_compile"})
        plain = dataclasses.replace(settings, graph_options=("easycache",))
        startup.check_comfyui(plain, time.monotonic() + 5)
        if fit:
            startup.check_comfyui(settings, time.monotonic() + 5)
        else:
            with pytest.raises(ConfigError, match=r"torch_compile.* torch 2.6.0\+cu124: leave it out"):
                startup.check_comfyui(settings, time.monotonic() + 5)
