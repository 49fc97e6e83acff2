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


def test_history_is_empty_until_the_prompt_has_ended(client):
    prompt_id = client.queue(default_graph(LONG))
    client.wait_until_running(prompt_id)
    assert client.get(f"/history/{prompt_id}").json() == {}
    client.post("/interrupt")
    assert client.wait(prompt_id)["prompt"][1] == prompt_id


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


def test_history_can_be_cut_to_the_newest_and_deleted(client):
    first, second = (client.queue(picture_graph(filename_prefix=name)) for name in "ab")
    client.wait(second)
    assert list(client.get("/history").json()) == [first, second]
    assert list(client.get("/history", max_items=1).json()) == [second]
    assert client.post("/history", {"delete": [first, "unknown"]}).content == b""
    assert list(client.get("/history").json()) == [second]
    client.post("/history", {"clear": True})
    assert client.get("/history").json() == {}


def test_an_id_used_again_shows_its_old_entry_until_the_new_run_ends(client):
    old = client.run(picture_graph(), prompt_id="again")
    client.queue(default_graph(LONG), prompt_id="again")
    client.wait_until_running("again")
    assert client.get("/history/again").json()["again"] == old
    client.post("/interrupt")


def test_the_queue_lists_what_runs_and_what_waits(client):
    running = client.queue(default_graph(LONG), client_id="me")
    client.wait_until_running(running)
    waiting = [client.queue(picture_graph()), client.queue(picture_graph(), front=True)]
    queue = client.get("/queue").json()
    assert [row[1] for row in queue["queue_running"]] == [running]
    assert [row[1] for row in queue["queue_pending"]] == waiting[::-1]
    assert queue["queue_running"][0][3]["client_id"] == "me"
    assert client.get("/prompt").json() == {"exec_info": {"queue_remaining": 3}}
    client.post("/queue", {"clear": True})
    assert client.get("/prompt").json() == {"exec_info": {"queue_remaining": 1}}
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
    assert client.post("/interrupt", []).status_code == 500


def test_free_acts_after_the_running_prompt_and_drops_its_results(client):
    graph = default_graph({"126": {"steps": 20}})
    prompt_id = client.queue(graph)
    client.wait_until_running(prompt_id)
    assert client.post("/free", {"unload_models": True, "free_memory": True}).content == b""
    assert client.wait(prompt_id)["status"]["completed"]
    assert client.run(graph)["status"]["messages"][1][1]["nodes"] == []
    assert client.post("/free").status_code == 500


def test_jobs_show_each_prompt_and_how_it_went(client):
    done = client.queue(picture_graph())
    client.wait(done)
    stopped = client.queue(default_graph(LONG))
    client.wait_until_running(stopped)
    assert client.get(f"/api/jobs/{stopped}").json()["status"] == "in_progress"
    client.post("/interrupt")
    client.wait(stopped)
    jobs = {job["id"]: job for job in client.get("/api/jobs").json()["jobs"]}
    assert {jobs[done]["status"], jobs[stopped]["status"]} == {"completed", "failed"}
    assert jobs[done]["preview_output"]["nodeId"] == "3"
    assert client.get("/api/jobs/unknown").status_code == 404
