"""The image's definition, as far as it can be judged without building it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from worker import catalogue

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CUDAS = ("cu128", "cu130")
SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)", re.IGNORECASE)


class Instruction(NamedTuple):
    name: str
    value: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def only(name: str) -> str:
    (value,) = [instruction.value for instruction in instructions() if instruction.name == name]
    return value


def copied() -> Iterator[tuple[str, str]]:
    """Every source in the project with its destination, for each CUDA."""
    for instruction in instructions():
        if instruction.name == "COPY" and "--from=" not in instruction.value:
            for cuda in CUDAS:
                *sources, destination = instruction.value.replace("${CUDA}", cuda).split()
                yield from ((source, destination) for source in sources)


def locked(name: str) -> dict[str, str]:
    """Package and version of each line of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def test_every_copied_file_exists_and_reaches_the_builder():
    excluded, *rules = [line for line in (ROOT / ".dockerignore").read_text().split("\n") if line and line[0] != "#"]
    assert excluded == "*"
    sent = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in sent), f".dockerignore keeps {source}"


def test_the_builder_is_sent_nothing_that_is_not_copied():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    for path in [rule.removeprefix("!") for rule in rules if rule.startswith("!")]:
        assert any(fnmatch(source, path) or source.startswith(f"{path}/") for source, _ in copied()), path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder /worker as the Dockerfile fills it."""
    folder = tmp_path_factory.mktemp("image") / "worker"
    for source, destination in copied():
        if destination.startswith("/"):
            continue
        target = folder / destination
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / source, target)
    return folder


def test_the_worker_has_all_it_imports_in_the_image(image):
    code = "import handler, worker.job, worker.models.bring, local.endpoint"
    subprocess.run([sys.executable, "-c", code], cwd=image, check=True, timeout=60)


def test_the_preview_engine_is_not_in_the_image(image):
    assert not (image / "local" / "engine").exists()


@pytest.mark.parametrize("cuda", CUDAS)
def test_the_host_is_asked_for_the_major_version_of_torchs_cuda(cuda):
    major, minor = cuda[2:4], cuda[4:]
    (asked,) = re.findall(
        rf'^FROM \S+ AS base-{cuda}\nENV NVIDIA_REQUIRE_CUDA="cuda>=(\d+)\.\d+"$', DOCKERFILE, re.MULTILINE
    )
    (runtime,) = [
        version for name, version in locked(f"comfyui-{cuda}").items() if name.startswith("nvidia-cuda-runtime")
    ]
    assert runtime.startswith(f"{major}.{minor}.")
    assert asked == major


def test_the_worker_s_environment_has_no_torch():
    assert not [name for name in locked("worker") if re.match("torch|nvidia|triton|tensorflow|cupy", name)]


def test_no_secret_is_an_argument_or_a_variable_of_the_image():
    assert not [each for each in instructions() if each.name in {"ARG", "ENV", "LABEL"} and SECRET.search(each.value)]
    assert all("--mount=type=secret" in each.value for each in instructions() if "HF_TOKEN" in each.value)


def test_each_model_has_a_layer_of_its_own_in_the_image_with_models():
    patterns = re.findall(r"^COPY --link --from=models /layers/(\S+) /$", DOCKERFILE, re.MULTILINE)
    models = catalogue.load(catalogue.MODEL_SETS, {})
    for model in models:
        assert [fnmatch(model.name, pattern) for pattern in patterns].count(True) == 1, model.name
    assert len(patterns) == len(models)


def test_each_model_inside_the_image_may_come_from_another_url():
    stage = DOCKERFILE.partition(" AS models\n")[2].partition("\nFROM ")[0]
    assert set(catalogue.MODEL_URLS) <= set(re.findall(r"^ARG (\w+)$", stage, re.MULTILINE))


def test_compose_publishes_on_this_machine_only_and_takes_a_gpu():
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]
    assert {port.rpartition(":")[2] for port in service["ports"]} == set(only("EXPOSE").split())
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert not {"command", "entrypoint"} & service.keys()
    for name, value in service["environment"].items():
        assert not SECRET.search(name) or value == f"${{{name}:-}}", f"{name} is not taken from the environment"
