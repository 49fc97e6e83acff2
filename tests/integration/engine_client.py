"""What the tests of the preview engine share: HunyuanVideo's default graph, and a client of the plainest kind."""

import copy
import io
import json
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
import websocket
from PIL import Image

Graph = dict[str, Any]

LINKED: Graph = {
    "80": ("LoadImage", {"image": "start.png"}),
    "13": ("CLIPVisionLoader", {"clip_name": "sigclip_vision_patch14_384.safetensors"}),
    "14": ("CLIPVisionEncode", {"crop": "center", "clip_vision": ["13", 0], "image": ["80", 0]}),
    "11": (
        "DualCLIPLoader",
        {
            "clip_name1": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
            "clip_name2": "byt5_small_glyphxl_fp16.safetensors",
            "type": "hunyuan_video_15",
        },
    ),
    "44": ("CLIPTextEncode", {"text": "it moves", "clip": ["11", 0]}),
    "93": ("CLIPTextEncode", {"text": "", "clip": ["11", 0]}),
    "10": ("VAELoader", {"vae_name": "hunyuanvideo15_vae_fp16.safetensors"}),
    "12": (
        "UNETLoader",
        {
            "unet_name": "hunyuanvideo1.5_720p_i2v_cfg_distilled_fp8_scaled.safetensors",
            "weight_dtype": "default",
        },
    ),
    "78": (
        "HunyuanVideo15ImageToVideo",
        {
            "width": 64,
            "height": 64,
            "length": 5,
            "batch_size": 1,
            "vae": ["10", 0],
            "start_image": ["80", 0],
            "positive": ["44", 0],
            "negative": ["93", 0],
            "clip_vision_output": ["14", 0],
        },
    ),
    "130": ("ModelSamplingSD3", {"shift": 7.0, "model": ["12", 0]}),
    "129": ("CFGGuider", {"cfg": 1.0, "model": ["130", 0], "positive": ["78", 0], "negative": ["78", 1]}),
    "126": ("BasicScheduler", {"scheduler": "simple", "steps": 2, "denoise": 1.0, "model": ["130", 0]}),
    "127": ("RandomNoise", {"noise_seed": 1}),
    "128": ("KSamplerSelect", {"sampler_name": "euler"}),
    "125": (
        "SamplerCustomAdvanced",
        {
            "noise": ["127", 0],
            "guider": ["129", 0],
            "sampler": ["128", 0],
            "sigmas": ["126", 0],
            "latent_image": ["78", 2],
        },
    ),
    "8": ("VAEDecode", {"samples": ["125", 0], "vae": ["10", 0]}),
    "101": ("CreateVideo", {"images": ["8", 0], "fps": 24.0}),
    "102": ("SaveVideo", {"video": ["101", 0], "filename_prefix": "clip", "format": "auto", "codec": "h264"}),
}


def node(class_type: str, **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs}


def default_graph(changes: dict[str, dict[str, Any]] | None = None, **nodes: Graph) -> Graph:
    """The 18 nodes; `changes` are {node: inputs to replace}, `nodes` are added under their names."""
    graph = {name: node(class_type, **copy.deepcopy(inputs)) for name, (class_type, inputs) in LINKED.items()}
    for name, inputs in (changes or {}).items():
        graph[name]["inputs"].update(inputs)
    return {**graph, **nodes}


def picture_graph(**save: Any) -> Graph:
    """Three nodes without a model: load, scale, save."""
    return {
        "1": node("LoadImage", image="start.png"),
        "2": node("ImageScale", image=["1", 0], upscale_method="bilinear", width=32, height=16, crop="center"),
        "3": node("SaveImage", **{"images": ["2", 0], "filename_prefix": "picture", **save}),
    }


def png(color: str | None = None, size: tuple[int, int] = (80, 60)) -> bytes:
    """A gradient, or a plain colour."""
    buffer = io.BytesIO()
    (Image.new("RGB", size, color) if color else Image.linear_gradient("L").resize(size)).save(buffer, "PNG")
    return buffer.getvalue()


class Listener:
    """One websocket."""

    def __init__(self, url: str, client_id: str) -> None:
        address = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
        self.socket = websocket.create_connection(address, timeout=10)
        self.client_id = client_id

    def close(self) -> None:
        self.socket.close()

    def next(self) -> Any:
        """The next message: {"type", "data"}, or bytes."""
        message = self.socket.recv()
        return message if isinstance(message, bytes) else json.loads(message)

    def until(self, kind: str, **data: Any) -> list[Any]:
        """Messages up to and with the first of this type and data."""
        messages: list[Any] = []
        while True:
            messages.append(self.next())
            last = messages[-1]
            if isinstance(last, dict) and last["type"] == kind and data.items() <= last["data"].items():
                return messages

    def silent_for(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv()
        except websocket.WebSocketTimeoutException:
            return True
        return False


class Client:
    """Speaks to one engine."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home

    def get(self, path: str, **params: Any) -> requests.Response:
        return requests.get(self.url + path, params=params, timeout=10)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=10, **options)

    def upload(self, name: str, data: bytes, **fields: str) -> requests.Response:
        return requests.post(f"{self.url}/upload/image", files={"image": (name, data)}, data=fields, timeout=10)

    def queue(self, graph: Any, **body: Any) -> str:
        answer = self.post("/prompt", {"prompt": graph, "client_id": uuid.uuid4().hex, **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The history entry, once it is there."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            history = self.get(f"/history/{prompt_id}").json()
            if history:
                return dict(history[prompt_id])
            time.sleep(0.01)
        raise TimeoutError(prompt_id)

    def run(self, graph: Any, **body: Any) -> dict[str, Any]:
        return self.wait(self.queue(graph, **body))

    def saved(self, graph: Graph, place: str) -> list[Path]:
        """Where the files lie that one node of this graph saved."""
        entry = self.run(graph)
        assert entry["status"]["completed"], entry["status"]["messages"][-1]
        return [self.file(file) for file in entry["outputs"][place]["images"]]

    def failure(self, graph: Graph) -> dict[str, Any]:
        """How a graph fails that fails while it runs."""
        event, data = self.run(graph)["status"]["messages"][-1]
        assert event == "execution_error"
        return dict(data)

    def listen(self, client_id: str | None = None) -> "closing[Listener]":
        return closing(Listener(self.url, client_id or uuid.uuid4().hex))

    def listen_to(self, graph: Any, **body: Any) -> list[Any]:
        """Every message of one prompt, from the greeting to the last."""
        with self.listen() as listener:
            prompt_id = self.queue(graph, client_id=listener.client_id, **body)
            return listener.until("executing", node=None, prompt_id=prompt_id)

    def wait_until_running(self, prompt_id: str) -> None:
        while not any(row[1] == prompt_id for row in self.get("/queue").json()["queue_running"]):
            time.sleep(0.005)

    def file(self, entry: dict[str, str]) -> Path:
        """Where a file named in an output lies."""
        return self.home / entry["type"] / entry["subfolder"] / entry["filename"]
