"""The engine's queue and history, and stopping what runs."""

import time

import pytest

from local.engine import Scenario, start
from tests.integration.engine_client import Client, default_graph, picture_graph, png

LONG = {"126": {"steps": 1000}}


@pytest.fixture
def client():
    with start(scenario=Scenario(step_seconds=0.01)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def test_history_tells_prompt_outputs_status_and_meta(client):
    entry = client.run(picture_graph(), client_id="me")
    assert entry["prompt"][3]["client_id"] == "me"
    assert entry["outputs"] == {
        "3": {"images": [{"filename": "picture_00001_.png", "subfolder": "", "type": "output"}]}
    }
    assert entry["meta"] == {"3": {"node_id": "3", "display_node": "3", "parent_node": None, "real_node_id": "3"}}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    assert [message[0] for message in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]


def test_the_queue_lists_what_runs_and_what_waits(client):
    running = client.queue(default_graph(LONG), client_id="me")
    client.wait_until_running(running)
    waiting = [client.queue(picture_graph()), client.queue(picture_graph())]
    queue = client.get("/queue").json()
    assert [row[1] for row in queue["queue_running"]] == [running]
    assert [row[1] for row in queue["queue_pending"]] == waiting
    assert queue["queue_running"][0][3]["client_id"] == "me"
    assert client.get(f"/history/{running}").json() == {}
    client.post("/interrupt")


def test_a_prompt_deleted_while_it_waits_never_runs_and_a_running_one_goes_on(client):
    running = client.queue(default_graph({"126": {"steps": 20}}))
    client.wait_until_running(running)
    waiting = client.queue(picture_graph())
    answer = client.post("/queue", {"delete": [waiting, running, "unknown"]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.wait(running)["status"]["completed"]
    assert client.get(f"/history/{waiting}").json() == {}


@pytest.mark.parametrize("targeted", [True, False])
def test_an_interrupt_stops_the_running_prompt_at_a_step(client, targeted):
    prompt_id = client.queue(default_graph(LONG))
    client.wait_until_running(prompt_id)
    time.sleep(0.05)
    answer = client.post("/interrupt", {"prompt_id": prompt_id} if targeted else None)
    assert (answer.status_code, answer.content) == (200, b"")
    entry = client.wait(prompt_id)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    event, data = entry["status"]["messages"][-1]
    assert (event, data["node_type"]) == ("execution_interrupted", "SamplerCustomAdvanced")
    assert entry["outputs"] == {}


def test_an_interrupt_for_another_prompt_or_for_none_has_no_effect(client):
    client.post("/interrupt")
    prompt_id = client.queue(default_graph({"126": {"steps": 20}}))
    client.wait_until_running(prompt_id)
    assert client.post("/interrupt", {"prompt_id": "unknown"}).status_code == 200
    assert client.wait(prompt_id)["status"]["completed"]


def test_free_acts_after_the_running_prompt_and_drops_its_results(client):
    graph = default_graph({"126": {"steps": 20}})
    prompt_id = client.queue(graph)
    client.wait_until_running(prompt_id)
    assert client.post("/free", {"unload_models": True, "free_memory": True}).content == b""
    assert client.wait(prompt_id)["status"]["completed"]
    assert client.run(graph)["status"]["messages"][1][1]["nodes"] == []


def test_a_job_is_cancelled_by_its_id_whether_it_waits_or_runs(client):
    running, waiting = client.queue(default_graph(LONG)), client.queue(picture_graph())
    client.wait_until_running(running)
    time.sleep(0.05)
    for prompt_id, cancelled in ((waiting, True), (running, True), (waiting, False)):
        assert client.post(f"/api/jobs/{prompt_id}/cancel").json() == {"cancelled": cancelled}
    assert client.wait(running)["status"]["messages"][-1][0] == "execution_interrupted"
    assert client.get(f"/history/{waiting}").json() == {}
