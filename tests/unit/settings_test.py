"""Settings that depend on each other: ComfyUI's address, and the bucket: all of it or none."""

import pytest

from worker import config
from worker.errors import ConfigError

KEYS = {
    "BUCKET_ENDPOINT_URL": "https://s3.example.org/",
    "BUCKET_ACCESS_KEY_ID": "id",
    "BUCKET_SECRET_ACCESS_KEY": "a secret",
}


def test_comfyui_is_looked_for_where_builder_starts_it() -> None:
    assert config.read({"COMFYUI_PORT": "9188"}).comfyui_url == "http://127.0.0.1:9188"
    assert config.read({"COMFYUI_PORT": "9188", "COMFYUI_URL": "http://other:1"}).comfyui_url == "http://other:1"


@pytest.mark.parametrize(
    ("sets", "preset"), [("", "balanced"), ("fast", "fast"), ("default,fast", "balanced"), ("none", "balanced")]
)
def test_the_default_preset_is_one_whose_models_are_brought(sets: str, preset: str) -> None:
    assert config.read({"MODEL_SETS": sets}).default_preset == preset


def test_without_settings_there_is_no_bucket() -> None:
    assert config.read({}).bucket is None
    assert config.read(dict.fromkeys([*KEYS, "BUCKET_NAME"], "")).bucket is None


def test_a_bucket_is_read_with_its_defaults() -> None:
    bucket = config.read(KEYS | {"BUCKET_PREFIX": "/clips/2026/"}).bucket
    assert bucket == config.Bucket("https://s3.example.org", "id", "a secret", "", "clips/2026", 604_800, 300)


@pytest.mark.parametrize("missing", KEYS)
def test_a_bucket_without_one_of_its_three_settings_is_refused(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing) as caught:
        config.read(KEYS | {missing: ""})
    assert "a secret" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUCKET_ENDPOINT_URL", "s3.example.org"),
        ("BUCKET_NAME", "a b"),
        ("BUCKET_NAME", "a/b"),
        ("BUCKET_PREFIX", "a?b"),
        ("BUCKET_EXPIRY", "604801"),
        ("BUCKET_TIMEOUT", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        config.read(KEYS | {name: value})


def test_keys_are_not_shown() -> None:
    assert "a secret" not in repr(config.read(KEYS))
