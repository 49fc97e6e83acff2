"""The engine's /upload/image and /view."""

import pytest
import requests

from local.engine import start
from tests.integration.engine_client import Client, picture_graph, png


@pytest.fixture(scope="module")
def client():
    with start() as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        client.run(picture_graph(filename_prefix="sub/shown"))
        for name in ("page.html", "drawing.svg"):
            (engine.home / "output" / name).write_text("<p>")
        yield client


SHOWN = {"filename": "shown_00001_.png", "subfolder": "sub"}


def test_an_upload_is_answered_with_the_name_it_got(client):
    assert client.upload("a.png", b"one").json() == {"name": "a.png", "subfolder": "", "type": "input"}
    assert client.upload("a.png", b"one").json()["name"] == "a.png"
    assert client.upload("a.png", b"two").json()["name"] == "a (1).png"
    assert client.upload("a.png", b"three", overwrite="true").json()["name"] == "a.png"
    assert (client.home / "input" / "a.png").read_bytes() == b"three"


def test_an_upload_may_go_to_a_subfolder_and_to_another_kind_of_folder(client):
    answer = client.upload("c.png", b"c", subfolder="deep/er", type="temp").json()
    assert answer == {"name": "c.png", "subfolder": "deep/er", "type": "temp"}
    assert (client.home / "temp" / "deep" / "er" / "c.png").read_bytes() == b"c"
    assert client.upload("c.png", b"c", type="elsewhere").status_code == 500


@pytest.mark.parametrize("subfolder", ["..", "/etc", "a/../.."])
def test_an_upload_out_of_the_folder_is_refused(client, subfolder):
    assert client.upload("c.png", b"c", subfolder=subfolder).status_code == 400


def test_an_upload_without_its_field_or_over_100_mb_is_refused(client):
    assert client.post("/upload/image").status_code == 400
    assert client.upload("big.png", bytes(101 * 1024 * 1024)).status_code == 413


def test_a_file_is_served_whole_and_in_part(client):
    whole = client.get("/view", **SHOWN)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "image/png")
    part = requests.get(f"{client.url}/api/view", params=SHOWN, headers={"Range": "bytes=0-3"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"\x89PNG")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_may_hold_a_script_is_only_downloaded(client):
    for name in ("page.html", "drawing.svg"):
        headers = client.get("/view", filename=name).headers
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({**SHOWN, "type": "output"}, 200),
        ({"filename": "start.png [input]", "type": "output"}, 200),
        ({}, 404),
        ({"filename": "absent.png"}, 404),
        ({"filename": "../output/page.html"}, 400),
        ({"filename": "/etc/hostname"}, 400),
        ({**SHOWN, "type": "nonsense"}, 400),
        ({**SHOWN, "subfolder": ".."}, 403),
    ],
)
def test_view_answers_with_the_status_comfyui_gives(client, query, status):
    assert client.get("/view", **query).status_code == status
