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
        (engine.home / "output" / "page.html").write_text("<p>")
        (engine.home / "output" / "clip.webm").write_bytes(b"webm")
        (engine.home / "output" / "outward").symlink_to("/etc/hostname")
        yield client


SHOWN = {"filename": "shown_00001_.png", "subfolder": "sub"}


def upload_raw(client, filename, field="image"):
    """An upload whose file name reaches the server as it is written here."""
    body = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n\r\ndata\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return requests.post(f"{client.url}/upload/image", data=body.encode(), headers=headers, timeout=10)


def test_an_upload_is_answered_with_the_name_it_got(client):
    assert client.upload("a.png", b"one").json() == {"name": "a.png", "subfolder": "", "type": "input"}
    assert client.upload("a.png", b"one").json()["name"] == "a.png"
    assert client.upload("a.png", b"two").json()["name"] == "a (1).png"
    assert client.upload("a.png", b"three").json()["name"] == "a (2).png"
    assert (client.home / "input" / "a.png").read_bytes() == b"one"


@pytest.mark.parametrize(("word", "name"), [("true", "b.png"), ("1", "b.png"), ("True", "b (1).png")])
def test_overwrite_is_spelled_true_or_1(client, word, name):
    (client.home / "input" / "b.png").write_bytes(b"before")
    (client.home / "input" / "b (1).png").unlink(missing_ok=True)
    assert client.upload("b.png", b"after", overwrite=word).json()["name"] == name
    assert (client.home / "input" / name).read_bytes() == b"after"


@pytest.mark.parametrize("content", [b"", b"text", b"<html>"])
def test_an_uploads_content_is_never_looked_at(client, content):
    assert client.upload("odd.png", content, overwrite="true").status_code == 200


def test_an_upload_may_go_to_a_subfolder_and_to_another_kind_of_folder(client):
    answer = client.upload("c.png", b"c", subfolder="deep/er", type="temp").json()
    assert answer == {"name": "c.png", "subfolder": "deep/er", "type": "temp"}
    assert (client.home / "temp" / "deep" / "er" / "c.png").read_bytes() == b"c"
    assert client.upload("c.png", b"c", type="elsewhere").status_code == 500


@pytest.mark.parametrize("subfolder", ["..", "/etc", "a/../.."])
def test_an_upload_out_of_the_folder_is_refused(client, subfolder):
    assert client.upload("c.png", b"c", subfolder=subfolder).status_code == 400


@pytest.mark.parametrize(
    ("filename", "status", "stored"),
    [
        ("../rt.png", 400, None),
        ("sub2/rt.png", 500, None),
        ("/abs/rt.png", 500, None),
        (r"..\rt.png", 200, "..rt.png"),
        ("a/../rt2.png", 200, "rt2.png"),
        ("ü 猫.png", 200, "ü 猫.png"),
        ("", 500, None),
        ("n" * 300, 500, None),
    ],
)
def test_odd_names_are_treated_as_comfyui_treats_them(client, filename, status, stored):
    before = {path.name for path in (client.home / "input").iterdir()}
    assert upload_raw(client, filename).status_code == status
    after = {path.name for path in (client.home / "input").iterdir()}
    assert after - before == ({stored} if stored else set())


def test_an_upload_without_its_field_is_refused(client):
    assert upload_raw(client, "a.png", field="picture").status_code == 400
    assert client.post("/upload/image").status_code == 400


def test_an_upload_over_100_mb_is_refused(client):
    answer = client.upload("big.png", bytes(101 * 1024 * 1024))
    assert (answer.status_code, answer.text) == (413, "Maximum request body size 104857600 exceeded.")


def test_a_file_is_served_whole_in_part_and_by_its_head(client):
    whole = client.get("/view", **SHOWN)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "image/png")
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    part = requests.get(f"{client.url}/view", params=SHOWN, headers={"Range": "bytes=0-3"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"\x89PNG")
    head = requests.head(f"{client.url}/api/view", params=SHOWN, timeout=10)
    assert (head.status_code, head.headers["Content-Length"]) == (200, whole.headers["Content-Length"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({**SHOWN, "type": "output"}, 200),
        ({**SHOWN, "subfolder": "sub/../sub"}, 200),
        ({**SHOWN, "filename": "any/shown_00001_.png"}, 200),
        ({"filename": "start.png [input]", "type": "output"}, 200),
        ({"filename": "outward"}, 200),
        ({**SHOWN, "preview": "webp;50"}, 200),
        ({"filename": "page.html", "preview": "webp;50"}, 500),
        ({}, 404),
        ({"filename": "absent.png"}, 404),
        ({"filename": "sub"}, 404),
        ({"filename": ""}, 400),
        ({"filename": "../output/page.html"}, 400),
        ({"filename": "/etc/hostname"}, 400),
        ({**SHOWN, "type": "nonsense"}, 400),
        ({**SHOWN, "subfolder": ".."}, 403),
        ({**SHOWN, "subfolder": "/etc"}, 403),
    ],
)
def test_view_answers_with_the_status_comfyui_gives(client, query, status):
    answer = client.get("/view", **query)
    assert answer.status_code == status
    assert status in {200, 500} or answer.content == b""


def test_view_names_the_kind_of_file_and_never_serves_a_page(client):
    assert client.get("/view", filename="clip.webm").headers["Content-Type"] == "video/webm"
    assert client.get("/view", filename="page.html").headers["Content-Type"] == "application/octet-stream"
    assert client.get("/view", **SHOWN, preview="webp;50").headers["Content-Type"] == "image/webp"
