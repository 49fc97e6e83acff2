""".runpod/: what RunPod's deployers make of the Hub's form is an environment the worker takes; its tests are jobs."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from worker import config
from worker.errors import ConfigError
from worker.input.request import parse

ROOT = Path(__file__).parents[2]


def read(name: str) -> Any:
    return json.loads((ROOT / ".runpod" / name).read_text())


HUB, TESTS = read("hub.json"), read("tests.json")
ENTRIES = HUB["config"]["env"]
INPUTS = {item["key"]: item.get("input", {}) for item in ENTRIES}
JOBS = {test["name"]: test["input"] for test in TESTS["tests"]}


def deploy_by_runpodctl() -> dict[str, str]:
    """`runpodctl serverless create --hub-id`: a key without an input is set, to nothing."""
    return {item["key"]: str(item.get("input", {}).get("default", "")) for item in ENTRIES}


def deploy_by_mcp() -> dict[str, str]:
    """RunPod's MCP server: a key without an input is left out."""
    return {item["key"]: str(item["input"]["default"]) for item in ENTRIES if "default" in item.get("input", {})}


DEPLOYERS = [deploy_by_runpodctl, deploy_by_mcp]


def settings(environ: Mapping[str, str]) -> tuple[config.Settings, config.ModelSettings]:
    return config.read(environ), config.read_models(environ)


@pytest.mark.parametrize("deploy", DEPLOYERS)
def test_a_deployed_form_is_the_codes_own_settings(deploy: Any) -> None:
    assert settings(deploy()) == settings({})


@pytest.mark.parametrize("deploy", DEPLOYERS)
def test_a_deployed_endpoint_may_boot_long_enough_to_download_its_models(deploy: Any) -> None:
    script = 'source ./builder.sh; set_timeouts; echo "$BOOT_TIMEOUT $COMFYUI_BOOT_TIMEOUT"'
    environ = {"PATH": "/usr/bin:/bin"} | deploy()
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    boot, comfyui = map(int, done.stdout.split())
    assert boot > 800
    assert comfyui >= boot


def test_every_variable_of_the_form_its_presets_and_the_tests_is_one_that_somebody_reads() -> None:
    groups = (config.Settings, config.ModelSettings)
    known = {field.alias for group in groups for field in group.model_fields.values()}
    known |= set(re.findall(r'^: "\$\{([A-Z_]+):=', (ROOT / "builder.sh").read_text(), re.MULTILINE))
    named = {item["key"] for item in [*ENTRIES, *TESTS["config"]["env"]]}
    assert named | {key for preset in HUB["config"]["presets"] for key in preset["defaults"]} <= known


@pytest.mark.parametrize("preset", HUB["config"]["presets"], ids=lambda preset: preset["name"])
def test_a_preset_is_accepted_and_its_variables_are_in_the_form(preset: dict[str, Any]) -> None:
    assert set(preset["defaults"]) <= set(INPUTS)
    settings(deploy_by_mcp() | {key: str(value) for key, value in preset["defaults"].items()})


@pytest.mark.parametrize("key", [key for key, field in INPUTS.items() if field.get("type") == "number"])
def test_a_number_is_accepted_at_its_limits(key: str) -> None:
    settings({key: str(INPUTS[key]["min"])})
    settings({key: str(INPUTS[key]["max"])})


def test_a_number_beyond_its_limits_is_refused() -> None:
    with pytest.raises(ConfigError, match="MAX_FRAMES"):
        settings({"MAX_FRAMES": str(INPUTS["MAX_FRAMES"]["max"] + 1)})


@pytest.mark.parametrize("key", [key for key, field in INPUTS.items() if "options" in field])
def test_every_option_is_accepted(key: str) -> None:
    for option in INPUTS[key]["options"]:
        settings({key: option["value"]})


def test_no_variable_is_in_the_form_twice() -> None:
    assert len(INPUTS) == len(ENTRIES)


@pytest.mark.parametrize("name", JOBS)
def test_a_test_is_a_job_the_worker_takes(name: str) -> None:
    parse(JOBS[name], config.read({}))


def test_every_allowed_host_starts_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (default,) = re.findall(r"^ARG CUDA=(\w+)$", dockerfile, re.MULTILINE)
    (asked,) = re.findall(rf'AS base-{default}\nENV NVIDIA_REQUIRE_CUDA="cuda>=([\d.]+)"', dockerfile)
    for versions in (HUB["config"]["allowedCudaVersions"], TESTS["config"]["allowedCudaVersions"]):
        assert min(tuple(map(int, version.split("."))) for version in versions) >= tuple(map(int, asked.split(".")))
