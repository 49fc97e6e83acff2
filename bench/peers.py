"""Other ways to have ComfyUI run a graph: a poller, and worker-comfyui's, which waits on the websocket.

`python -m bench.peers URL` takes jobs by the second way, with the SDK alone. This imports no more than they do.
"""

import base64
import json
import sys
import time
import uuid
from typing import Any

import requests
import websocket

POLL = 2.0
NAME = "picture.png"


def poll(url: str, job_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Upload, queue, look into history every 2 seconds, fetch; returns prompt id and answer."""
    prompt_id = queue(url, job_input, "poller")
    while True:
        history = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()
        if prompt_id in history:
            return prompt_id, fetch_all(url, history[prompt_id]["outputs"])
        time.sleep(POLL)


def listen(url: str, job_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Wait on the websocket for the prompt's last message, then read history and fetch."""
    client_id = uuid.uuid4().hex
    events = websocket.create_connection(f"ws{url.removeprefix('http')}/ws?clientId={client_id}", timeout=60)
    prompt_id = queue(url, job_input, client_id)
    while True:
        message = json.loads(events.recv())
        data = message["data"]
        if message["type"] == "executing" and data["node"] is None and data.get("prompt_id") == prompt_id:
            break
    events.close()
    history = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()
    return prompt_id, fetch_all(url, history[prompt_id]["outputs"])


def queue(url: str, job_input: dict[str, Any], client_id: str) -> str:
    """Upload the picture and queue the graph, which names it NAME; its files get a folder of their own."""
    name, folder = f"{uuid.uuid4().hex}.png", uuid.uuid4().hex
    files = {"image": (name, base64.b64decode(job_input["images"][0]["image"]))}
    requests.post(f"{url}/upload/image", files=files, timeout=30).raise_for_status()
    nodes = json.loads(json.dumps(job_input["workflow"]).replace(NAME, name))
    for node in nodes.values():
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = f"{folder}/file"
    answer = requests.post(f"{url}/prompt", json={"prompt": nodes, "client_id": client_id}, timeout=30)
    return str(answer.json()["prompt_id"])


def fetch_all(url: str, outputs: dict[str, Any]) -> dict[str, Any]:
    """Every file through /view, base64, as it is."""
    files = [file for output in outputs.values() for file in output["images"]]
    data = [requests.get(f"{url}/view", params=file, timeout=60).content for file in files]
    return {"images": [{"data": base64.b64encode(content).decode()} for content in data]}


def main() -> None:
    """Take jobs until ended."""
    import runpod

    url = sys.argv.pop()
    runpod.serverless.start({"handler": lambda job: listen(url, job["input"])[1]})


if __name__ == "__main__":
    main()
