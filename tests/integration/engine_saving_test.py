"""What the engine calls its files, what is in them, and when it writes none because its cache has the result."""

import json

import av
import pytest

from local.engine import Scenario, start
from tests.integration.engine_client import Client, default_graph, picture_graph, png


@pytest.fixture(scope="module")
def client():
    with start(scenario=Scenario(step_seconds=0.001)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("plain", "plain_00001_.png"),
        ("a/b/c", "a/b/c_00001_.png"),
        ("%width%x%height%", "32x16_00001_.png"),
        ("%date:yyyy%", "%date:yyyy%_00001_.png"),
        ("", "._00001_.png"),
    ],
)
def test_a_prefix_becomes_a_name(client, prefix, path):
    (written,) = client.saved(picture_graph(filename_prefix=prefix), "3")
    assert written == client.home / "output" / path


def test_the_number_is_the_highest_there_is_plus_one(client):
    names = [client.saved(picture_graph(filename_prefix=prefix), "3")[0].name for prefix in ("n", "./n")]
    assert names == ["n_00001_.png", "n_00002_.png"]
    (client.home / "output" / "n_00002_.png").unlink()
    assert client.saved(picture_graph(filename_prefix=".//n"), "3")[0].name == "n_00002_.png"


@pytest.mark.parametrize("prefix", ["../escape", "/abs/escape"])
def test_a_prefix_that_leads_out_fails_in_its_node(client, prefix):
    error = client.failure(picture_graph(filename_prefix=prefix))
    assert "Saving image outside the output folder is not allowed" in error["exception_message"]


def test_a_name_too_long_for_the_disk_fails_in_its_node(client):
    assert client.saved(picture_graph(filename_prefix="n" * 240), "3")
    assert client.failure(picture_graph(filename_prefix="n" * 245))["exception_type"] == "OSError"


def test_an_identical_graph_is_answered_from_the_cache_without_writing(client):
    graph = default_graph({"102": {"filename_prefix": "same"}})
    (path,) = client.saved(graph, "102")
    path.write_bytes(b"touched")
    assert client.saved(graph, "102") == [path]
    assert path.read_bytes() == b"touched"
    path.unlink()
    assert client.saved(graph, "102") == [path]
    assert not path.exists()


def test_an_identical_graph_without_client_id_lists_nothing(client):
    graph = default_graph({"102": {"filename_prefix": "nobody"}})
    client.run(graph)
    entry = client.wait(client.post("/prompt", {"prompt": graph}).json()["prompt_id"])
    assert (entry["outputs"], entry["meta"], entry["status"]["status_str"]) == ({}, {}, "success")


def test_only_what_changed_runs_again(client):
    def cached(graph):
        return len(client.run(graph)["status"]["messages"][1][1]["nodes"])

    cached(default_graph({"102": {"filename_prefix": "one"}}))
    other_prefix = default_graph({"102": {"filename_prefix": "two"}})
    assert cached(other_prefix) == 17
    other_prefix["8"]["_meta"] = {"title": "new"}
    assert cached(other_prefix) == 18
    client.upload("start.png", png("blue"), overwrite="true")
    assert cached(other_prefix) == 10
    client.upload("start.png", png(), overwrite="true")


def test_the_graph_is_in_the_file_unless_metadata_is_off(client, tmp_path):
    (plain,) = client.saved(default_graph({"102": {"filename_prefix": "plain_metadata"}}), "102")
    with av.open(str(plain)) as container:
        assert "prompt" not in container.metadata
    with start(home=tmp_path, metadata=True, scenario=Scenario(step_seconds=0)) as engine:
        telling = Client(engine.url, engine.home)
        telling.upload("start.png", png())
        graph = default_graph()
        (path,) = telling.saved(graph, "102")
        with av.open(str(path)) as container:
            assert json.loads(container.metadata["prompt"])["44"]["inputs"] == graph["44"]["inputs"]
