"""The catalogue beside what uses it."""

import json
from pathlib import Path

import pytest

from worker.catalogue import CATALOGUE, load
from worker.errors import ConfigError
from worker.models.volume import parse_hub_url

HUB = "https://huggingface.co"


def test_every_model_that_the_default_graph_loads_is_in_the_default_set() -> None:
    graph = json.loads((CATALOGUE.parent.parent / "workflow_api.json").read_text())
    values = [value for node in graph.values() for value in node["inputs"].values()]
    wanted = {value for value in values if isinstance(value, str) and value.endswith(".safetensors")}
    assert wanted == {model.name for model in load(["default"], {})}


def test_every_url_is_a_file_of_that_name_on_the_hub() -> None:
    for model in load(["default"], {}):
        source = parse_hub_url(model.url, HUB)
        assert source is not None
        assert Path(source.path).name == model.name


def test_a_replaced_url_keeps_the_name_and_drops_the_published_size() -> None:
    vae = next(
        m for m in load(["default"], {"HUNYUAN_VAE_URL": "https://example.com/my.safetensors"}) if m.folder == "vae"
    )
    assert (vae.name, vae.url, vae.size) == (
        "hunyuanvideo15_vae_fp16.safetensors",
        "https://example.com/my.safetensors",
        None,
    )


def test_an_unknown_set_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"MODEL_SETS='fats' must name sets of catalogue.toml: default, fast, upscale"
    ):
        load(["fats"], {})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://huggingface.co/org/repo/resolve/main/a/b.safetensors", "a/b.safetensors"),
        ("https://huggingface.co/org/repo/blob/v1/b.safetensors?download=true", "b.safetensors"),
        ("http://mirror:1/org/repo/resolve/main/b.safetensors", "b.safetensors"),
    ],
)
def test_urls_of_the_hub_and_its_mirror_are_taken_apart(url: str, path: str) -> None:
    source = parse_hub_url(url, "http://mirror:1")
    assert source is not None
    assert (source.repository, source.path) == ("org/repo", path)


@pytest.mark.parametrize("url", ["https://example.com/org/repo/resolve/main/b", "https://huggingface.co/org/repo"])
def test_other_urls_are_not_of_the_hub(url: str) -> None:
    assert parse_hub_url(url, HUB) is None
