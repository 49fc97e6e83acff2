"""What the engine says it is and has."""

import pytest

from local.engine import start
from local.engine.nodes import NODES, SAVERS
from tests.integration.engine_client import Client, png
from worker import catalogue


@pytest.fixture(scope="module")
def client():
    with start() as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def test_every_class_that_a_valid_graph_can_hold_can_run(client):
    assert set(client.get("/object_info").json()) == NODES.keys() | SAVERS.keys()


def test_the_models_of_every_set_are_listed(client):
    listed = {name for folder in client.get("/models").json() for name in client.get(f"/models/{folder}").json()}
    assert listed == {model.name for model in catalogue.load(catalogue.MODEL_SETS, {})}


def test_object_info_lists_the_uploaded_files_and_models_their_folders(client):
    assert client.get("/object_info/NoSuchNode").json() == {}
    images = client.get("/object_info/LoadImage").json()["LoadImage"]["input"]["required"]["image"][0]
    assert "start.png" in images
    assert client.get("/models/vae").json() == ["hunyuanvideo15_vae_fp16.safetensors"]
    assert "vae" in client.get("/models").json()
    assert client.get("/models/nonsense").status_code == 404
    assert client.get("/nothing").status_code == 404


def test_the_engine_says_that_it_is_not_comfyui(client):
    stats = client.get("/system_stats").json()
    assert stats["system"]["comfyui_version"] == "0.8.0"
    assert "preview engine" in stats["system"]["stand_in"]
    assert stats["devices"][0]["name"] == "preview engine (no model, no GPU)"
    assert "stand-in" in client.get("/queue").headers["Server"]
