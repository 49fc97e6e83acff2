"""The engine's websocket: which messages, in which order, to whom."""

import itertools
import time

import pytest

from local.engine import Scenario, start
from tests.integration.engine_client import Client, default_graph, picture_graph, png


@pytest.fixture(scope="module")
def client():
    with start(scenario=Scenario(step_seconds=0.02)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def kinds(messages):
    """The types in their order, repeats folded."""
    return [kind for kind, _group in itertools.groupby(message["type"] for message in messages)]


def test_a_run_is_told_in_order_from_the_greeting_to_executing_null(client):
    messages = client.listen_to(default_graph({"127": {"noise_seed": 101}}))
    assert "sid" in messages[0]["data"]
    order = kinds(messages)
    assert order[:3] == ["status", "execution_start", "execution_cached"]
    assert order[-3:] == ["execution_success", "status", "executing"]
    assert order.count("executed") == 1
    assert messages[-2]["data"] == {"status": {"exec_info": {"queue_remaining": 0}}}
    steps = [message["data"]["value"] for message in messages if message["type"] == "progress"]
    assert steps == [1, 2]
    entered = [message["data"]["node"] for message in messages if message["type"] == "executing"][:-1]
    assert len(entered) == len(set(entered))
    assert entered.index("125") < entered.index("8") < entered.index("101")


def test_the_progress_state_follows_a_node_from_running_to_finished(client):
    messages = client.listen_to(default_graph({"127": {"noise_seed": 103}}))
    states = [message["data"]["nodes"] for message in messages if message["type"] == "progress_state"]
    sampler = [
        (nodes["125"]["state"], nodes["125"]["value"], nodes["125"]["max"]) for nodes in states if "125" in nodes
    ]
    followed = [state for state, _group in itertools.groupby(sampler)]
    assert followed == [("running", 0, 1), ("running", 1, 2), ("running", 2, 2), ("finished", 2, 2)]


def test_a_failing_node_is_told_as_execution_error_and_never_as_success(client):
    client.upload("bad.png", b"no picture")
    messages = client.listen_to(default_graph({"80": {"image": "bad.png"}}))
    assert kinds(messages)[-3:] == ["execution_error", "status", "executing"]
    error = next(message["data"] for message in messages if message["type"] == "execution_error")
    assert (error["node_id"], error["node_type"]) == ("80", "LoadImage")
    assert error["exception_type"] == "PIL.UnidentifiedImageError"
    assert error["exception_message"].startswith("cannot identify image file")
    assert error["current_inputs"] == {"image": ["bad.png"]}


def test_a_prompt_without_client_id_shows_only_progress_but_to_everyone(client):
    with client.listen() as listener:
        graph = default_graph({"127": {"noise_seed": 104}})
        client.wait(client.post("/prompt", {"prompt": graph}).json()["prompt_id"])
        messages = listener.until("status", status={"exec_info": {"queue_remaining": 0}})
        messages += listener.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert {message["type"] for message in messages} == {"status", "progress", "progress_state"}


def test_of_two_sockets_with_one_id_the_second_goes_deaf_when_the_first_closes(client):
    with client.listen("twin") as first, client.listen("twin") as second:
        second.until("status")
        first.close()
        client.get("/queue")
        client.run(picture_graph(filename_prefix="twin"), client_id="twin")
        assert second.silent_for(0.2)


def test_connecting_in_the_middle_tells_the_node_but_nothing_from_before(client):
    prompt_id = client.queue(default_graph({"127": {"noise_seed": 106}, "126": {"steps": 1000}}), client_id="late")
    client.wait_until_running(prompt_id)
    time.sleep(0.3)
    with client.listen("late") as listener:
        greeting, node, *later = listener.until("progress")
        client.post("/interrupt")
        later += listener.until("executing", node=None, prompt_id=prompt_id)
    assert greeting["type"] == "status"
    assert node == {"type": "executing", "data": {"node": "125"}}
    assert "execution_start" not in kinds(later)
    assert "execution_interrupted" in kinds(later)


def test_a_cached_prompt_tells_its_files_again(client):
    graph = picture_graph(filename_prefix="cached")
    files = client.run(graph)["outputs"]["3"]
    messages = client.listen_to(graph)
    assert kinds(messages) == [
        "status",
        "execution_start",
        "execution_cached",
        "executed",
        "progress_state",
        "execution_success",
        "status",
        "executing",
    ]
    told = {message["type"]: message["data"] for message in messages}
    assert told["execution_cached"]["nodes"] == ["1", "2", "3"]
    assert told["executed"]["output"] == files


def test_of_many_quick_steps_the_first_and_the_last_are_told(client):
    messages = client.listen_to(default_graph({"127": {"noise_seed": 108}, "126": {"steps": 12}}))
    steps = [message["data"]["value"] for message in messages if message["type"] == "progress"]
    assert (steps[0], steps[-1]) == (1, 12)
    assert steps == sorted(steps)
    assert len(steps) < 6  # 12 steps of 0.02 s, told at most every 0.1 s
