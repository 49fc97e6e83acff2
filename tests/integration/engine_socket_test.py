"""The engine's websocket: which messages, in which order, to whom."""

import itertools
import struct
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


def test_each_node_is_entered_once_before_those_that_need_it(client):
    messages = client.listen_to(default_graph({"127": {"noise_seed": 102}, "44": {"text": "all anew"}}))
    entered = [message["data"]["node"] for message in messages if message["type"] == "executing"][:-1]
    assert len(entered) == len(set(entered))
    assert entered[-1] == "102"
    assert entered.index("125") < entered.index("8") < entered.index("101")


def test_the_progress_state_follows_a_node_from_running_to_finished(client):
    messages = client.listen_to(default_graph({"127": {"noise_seed": 103}}))
    states = [message["data"]["nodes"] for message in messages if message["type"] == "progress_state"]
    sampler = [
        (nodes["125"]["state"], nodes["125"]["value"], nodes["125"]["max"]) for nodes in states if "125" in nodes
    ]
    followed = [state for state, _group in itertools.groupby(sampler)]
    assert followed == [("running", 0, 1), ("running", 1, 2), ("running", 2, 2), ("finished", 2, 2)]


def test_history_is_there_when_executing_null_arrives(client):
    with client.listen() as listener:
        prompt_id = client.queue(picture_graph(filename_prefix="x"), client_id=listener.client_id)
        listener.until("executing", node=None)
        assert prompt_id in client.get(f"/history/{prompt_id}").json()


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


def test_another_clients_socket_hears_only_the_queues_length(client):
    with client.listen() as listener:
        client.run(default_graph({"127": {"noise_seed": 105}}))
        messages = [listener.next() for _ in range(4)]
        assert listener.silent_for(0.1)
    assert kinds(messages) == ["status"]


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


def test_the_client_may_say_what_it_understands(client):
    with client.listen() as listener:
        listener.socket.send('{"type": "feature_flags", "data": {"supports_preview_metadata": true}}')
        answer = listener.until("feature_flags")[-1]["data"]
    assert answer == client.get("/features").json()
    assert answer["max_upload_size"] == 104857600


@pytest.mark.parametrize("flag", [True, False])
def test_previews_come_as_binary_frames_when_asked_for(client, flag):
    graph = default_graph({"127": {"noise_seed": 107 + flag}})
    with client.listen() as listener:
        if flag:
            listener.socket.send('{"type": "feature_flags", "data": {"supports_preview_metadata": true}}')
            listener.until("feature_flags")
        client.queue(graph, client_id=listener.client_id, extra_data={"preview_method": "auto"})
        frames = [message for message in listener.until("executing", node=None) if isinstance(message, bytes)]
    kind, length = struct.unpack(">II", frames[0][:8])
    picture = frames[0][8 + length :] if flag else frames[0][8:]
    assert (len(frames), kind, picture[:2]) == (2, 4 if flag else 1, b"\xff\xd8")


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
