"""The engine misbehaving on purpose, in this process and as one of its own."""

import contextlib
import time

import pytest
import requests
import websocket

from local.engine import Scenario, start
from tests.engine_process import engine_process
from tests.integration.engine_client import Client, default_graph, picture_graph, png


@contextlib.contextmanager
def misbehaving(**fields):
    with start(scenario=Scenario(**{"step_seconds": 0.01, **fields})) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def kinds(messages):
    return [message["type"] for message in messages]


def test_a_dropped_socket_ends_without_a_close_frame_and_the_prompt_goes_on():
    with misbehaving(drop_socket_after=4) as client, client.listen() as listener:
        prompt_id = client.queue(default_graph(), client_id=listener.client_id)
        with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
            listener.until("never")
        assert client.wait(prompt_id)["status"]["completed"]
        assert len(client.listen_to(picture_graph())) > 4


def test_a_silent_socket_greets_and_says_no_more():
    with misbehaving(silent_socket=True) as client, client.listen() as listener:
        client.run(picture_graph(), client_id=listener.client_id)
        assert listener.next()["type"] == "status"
        assert listener.silent_for(0.1)


def test_every_message_can_come_twice():
    with misbehaving(duplicate_messages=True) as client:
        assert kinds(client.listen_to(picture_graph())).count("execution_start") == 2


def test_an_early_lie_announces_success_before_history_has_it():
    with misbehaving(lie="early") as client, client.listen() as listener:
        prompt_id = client.queue(default_graph({"126": {"steps": 1000}}), client_id=listener.client_id)
        listener.until("execution_success")
        assert client.get(f"/history/{prompt_id}").json() == {}
        assert [row[1] for row in client.get("/queue").json()["queue_running"]] == [prompt_id]


def test_a_failure_can_be_announced_as_success_while_history_tells_the_truth():
    with misbehaving(lie="failure", fail_at="VAEDecode") as client, client.listen() as listener:
        prompt_id = client.queue(default_graph(), client_id=listener.client_id)
        messages = listener.until("executing", node=None)
        assert "execution_error" not in kinds(messages)
        assert "execution_success" in kinds(messages)
        event, data = client.wait(prompt_id)["status"]["messages"][-1]
    assert (event, data["exception_type"]) == ("execution_error", "torch.OutOfMemoryError")


def test_only_the_first_prompts_suffer_if_the_scenario_says_so():
    with misbehaving(fail_at="SaveImage", fail_type="ValueError", fail_message="no", faulty_prompts=1) as client:
        graph = picture_graph()
        error = client.run(graph)["status"]["messages"][-1][1]
        assert (error["exception_type"], error["exception_message"]) == ("ValueError", "no\n")
        assert client.run(graph)["status"]["completed"]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_hanging_node_may_be_deaf_to_interrupts(deaf):
    with misbehaving(hang_at="SaveImage", hang_deaf=deaf) as client:
        prompt_id = client.queue(picture_graph())
        client.wait_until_running(prompt_id)
        time.sleep(0.1)
        client.post("/interrupt")
        if deaf:
            time.sleep(0.2)
            assert client.get(f"/history/{prompt_id}").json() == {}
        else:
            assert client.wait(prompt_id)["status"]["messages"][-1][0] == "execution_interrupted"


def test_a_lost_interrupt_is_answered_200_and_has_no_effect():
    with misbehaving(lost_interrupts=1, step_seconds=0.02) as client:
        prompt_id = client.queue(default_graph({"126": {"steps": 1000}}))
        client.wait_until_running(prompt_id)
        time.sleep(0.1)
        assert client.post("/interrupt").status_code == 200
        time.sleep(0.2)
        assert client.get(f"/history/{prompt_id}").json() == {}
        client.post("/interrupt")
        assert client.wait(prompt_id)["status"]["messages"][-1][0] == "execution_interrupted"


def test_a_forgotten_prompt_is_neither_queued_nor_in_history():
    with misbehaving(forget_at="SaveImage") as client:
        prompt_id = client.queue(picture_graph())
        while client.get("/queue").json()["queue_running"]:
            time.sleep(0.01)
        assert client.get(f"/history/{prompt_id}").json() == {}


def test_history_can_lag_behind_the_last_node():
    with misbehaving(history_delay=0.5) as client, client.listen() as listener:
        prompt_id = client.queue(picture_graph(), client_id=listener.client_id)
        listener.until("execution_success")
        assert client.get(f"/history/{prompt_id}").json() == {}
        listener.until("executing", node=None)
        assert prompt_id in client.get(f"/history/{prompt_id}").json()


def test_saved_files_can_vanish_before_history_names_them():
    with misbehaving(vanish_output=True) as client:
        (file,) = client.run(picture_graph())["outputs"]["3"]["images"]
        assert client.get("/view", **file).status_code == 404


def test_requests_below_a_path_fail_as_often_as_the_scenario_says():
    with misbehaving(status_500={"/history": 2}, slow=0.05) as client:
        started = time.monotonic()
        statuses = [client.get(path).status_code for path in ("/history/x", "/api/history", "/history/x", "/queue")]
        assert statuses == [500, 500, 200, 200]
        assert time.monotonic() - started >= 0.2


def test_a_missing_model_is_refused_and_listed_nowhere():
    name = "hunyuanvideo15_vae_fp16.safetensors"
    with misbehaving(missing_models=(name,)) as client:
        answer = client.post("/prompt", {"prompt": default_graph()})
        assert (answer.status_code, list(answer.json()["node_errors"])) == (400, ["10"])
        assert name not in client.get("/object_info").text


def test_a_process_can_die_in_a_node(tmp_path):
    with engine_process(tmp_path, '{"die_at": "ImageScale"}') as engine:
        client = Client(engine.url, tmp_path)
        client.upload("start.png", png())
        with contextlib.suppress(requests.ConnectionError):  # it may be dead before it has answered
            client.queue(picture_graph())
        assert engine.popen.wait(timeout=10) == 1
