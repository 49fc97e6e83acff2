""".runpod/: the Hub's form offers settings that exist, with the code's own defaults and limits; its tests are jobs."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from worker import config
from worker.errors import ConfigError
from worker.input.request import parse

ROOT = Path(__file__).parents[2]
PLATFORMS_OWN = {"RUNPOD_INIT_TIMEOUT"}
CUDA_OF_THE_IMAGE = (12, 4)


def read(name: str) -> Any:
    return json.loads((ROOT / ".runpod" / name).read_text())


HUB, TESTS = read("hub.json"), read("tests.json")
INPUTS = {item["key"]: item["input"] for item in HUB["config"]["env"] if "input" in item}
DEFAULTS = {key: str(field["default"]) for key, field in INPUTS.items()}
JOBS = {test["name"]: test["input"] for test in TESTS["tests"]}


def settings(environ: Mapping[str, str]) -> tuple[object, object]:
    return config.read(environ), config.read_models(environ)


def known_names() -> set[str]:
    groups = (config.Settings, config.ModelSettings)
    declared = {str(field.alias) for group in groups for field in group.model_fields.values()}
    in_builder = re.findall(r'^: "\$\{([A-Z_]+):=', (ROOT / "builder.sh").read_text(), re.MULTILINE)
    return declared | set(in_builder) | PLATFORMS_OWN


def named() -> Iterator[str]:
    yield from (item["key"] for item in HUB["config"]["env"])
    yield from (item["key"] for item in TESTS["config"]["env"])
    yield from (key for preset in HUB["config"]["presets"] for key in preset["defaults"])


def test_every_variable_is_a_setting_of_the_worker() -> None:
    assert set(named()) <= known_names()


def test_the_forms_defaults_are_the_codes() -> None:
    assert settings(DEFAULTS) == settings({})


@pytest.mark.parametrize("preset", HUB["config"]["presets"], ids=lambda preset: preset["name"])
def test_a_preset_is_accepted_and_its_variables_are_in_the_form(preset: dict[str, Any]) -> None:
    assert set(preset["defaults"]) <= set(INPUTS)
    settings(DEFAULTS | {key: str(value) for key, value in preset["defaults"].items()})


@pytest.mark.parametrize("key", [key for key, field in INPUTS.items() if field["type"] == "number"])
def test_a_number_is_accepted_at_its_limits_and_refused_above(key: str) -> None:
    settings({key: str(INPUTS[key]["min"])})
    settings({key: str(INPUTS[key]["max"])})
    with pytest.raises(ConfigError, match=key):
        settings({key: str(INPUTS[key]["max"] + 1)})


@pytest.mark.parametrize("key", [key for key, field in INPUTS.items() if "options" in field])
def test_every_option_is_accepted(key: str) -> None:
    for option in INPUTS[key]["options"]:
        settings({key: option["value"]})


def test_no_setting_is_named_twice() -> None:
    keys = [item["key"] for item in HUB["config"]["env"]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", JOBS)
def test_a_test_is_a_job_the_worker_takes(name: str) -> None:
    request = parse(JOBS[name], config.read({}))
    assert request.num_frames < 10
    assert request.steps < 10


def test_the_hub_has_its_required_fields() -> None:
    assert HUB["type"] == "serverless"
    assert HUB["category"] == "video"
    assert HUB["config"]["runsOn"] == "GPU"
    assert HUB["config"]["gpuCount"] == TESTS["config"]["gpuCount"] == 1
    assert all(isinstance(test["timeout"], int) for test in TESTS["tests"])


def test_no_driver_is_older_than_the_images_cuda() -> None:
    for versions in (HUB["config"]["allowedCudaVersions"], TESTS["config"]["allowedCudaVersions"]):
        assert min(tuple(map(int, version.split("."))) for version in versions) >= CUDA_OF_THE_IMAGE


def test_the_disk_holds_models_and_image_and_every_gpu_has_24_gb() -> None:
    assert HUB["config"]["containerDiskInGb"] * 0.9 >= 21.6 + 20
    sizes = [int(re.findall(r"\d+", pool)[0]) for pool in HUB["config"]["gpuIds"].split(",")]
    assert min(sizes) >= 24
