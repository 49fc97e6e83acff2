"""What the page shows of what it is given: answers of every delivery, schemas, sizes; and its requests, which run."""

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect

from local import endpoint as platform
from local.endpoint import Endpoint
from tests.browser.person import SHOWN, Card, Person
from tests.helpers import count_frames
from tests.helpers import gradient as drawn
from tests.javascript_modules import javascript_modules
from tests.pages import ROOT
from tests.worker_process import Worker
from worker import config
from worker.input.request import TRAINED_SIZES, Request, parse

AWKWARD = 'a "quoted" $HOME `id` \\ it\'s\nnext line, Möwe 🚀'
PICTURE = "it's a rocket.jpg"
STILL = {"type": "image", "filename": "frame_0001.png", "mime_type": "image/png"}
ANSWER = {"status": "success", "prompt_id": "1", "timings": {"total": 1.5}, "warnings": []}
ON_VOLUME = {
    **STILL,
    "encoding": "volume",
    "path": "/runpod-volume/outputs/1/frame_0001.png",
    "s3": {"endpoint_url": "https://s3.example.org", "region": "eu", "bucket": "vol", "key": "outputs/1/frame.png"},
}


@pytest.fixture(scope="module")
def told(worker: Worker, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The request of one job as the page shows it, by language."""
    person = Person(browser.new_page())
    person.page.goto(worker.endpoint.url)
    picture = tmp_path_factory.mktemp("picture") / PICTURE
    picture.symlink_to(ROOT / "examples/rocket.jpg")
    person.arrived().choose(picture)
    person.size("480p")
    person.write(prompt=AWKWARD, num_frames=5, steps=2, seed=2**64 - 1, negative_prompt="$(touch harm)")
    person.send()
    card = person.card(1)
    card.expect_state("Done")
    card.unfold("This request as code")
    texts = {language: card.code(language) for language in ("curl", "Python", "JavaScript")}
    person.page.close()
    return texts


def run(folder: Path, *command: str) -> None:
    """Run one of the page's requests where the picture lies."""
    (folder / PICTURE).symlink_to(ROOT / "examples/rocket.jpg")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (folder / "harm").exists()


def test_the_request_runs_as_curl_and_says_the_same(told: dict[str, str], tmp_path: Path, worker: Worker) -> None:
    run(tmp_path, "bash", "-euc", told["curl"])
    report = json.loads((tmp_path / "answer.json").read_text())
    assert report["status"] == "COMPLETED", report
    assert (report["output"]["seed"], len(report["output"]["outputs"])) == (2**64 - 1, 6)


def test_the_request_runs_in_python(told: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, sys.executable, "-c", told["Python"])
    assert count_frames(tmp_path / "clip.mp4") == 5


def test_the_request_runs_in_javascript(told: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(javascript_modules() / "node_modules")
    (tmp_path / "clip.mjs").write_text(told["JavaScript"])
    run(tmp_path, "node", "clip.mjs")
    assert count_frames(tmp_path / "clip.mp4") == 5


def test_the_request_as_code_sends_what_the_page_sent(visit: Callable[..., Person], tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with platform.start(**SHOWN) as endpoint:
        card = visit(endpoint.url).arrived().make(prompt=AWKWARD, negative_prompt="$(touch harm)")
        sent = answer(endpoint, "done")
        card.expect_state("Done")
        card.node.get_by_text("This request as code").click()  # details of an unknown answer are unfolded
        curl = card.code("curl").replace("wait=300000", "wait=1000")
        subprocess.run(["bash", "-euc", curl], cwd=tmp_path, timeout=30, check=True)
        again = take(endpoint)["input"]
    assert sent == again
    assert sent["prompt"] == AWKWARD


def take(endpoint: Endpoint) -> dict[str, Any]:
    """As a worker: the next job."""
    url = endpoint.worker_environ("played")["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", "played")
    job: dict[str, Any] = requests.get(url, timeout=20).json()
    return job


def answer(endpoint: Endpoint, output: object) -> dict[str, Any]:
    """As a worker: take the next job and answer it; its input."""
    url, job = endpoint.worker_environ("played")["RUNPOD_WEBHOOK_POST_OUTPUT"], take(endpoint)
    url = url.replace("$RUNPOD_POD_ID", "played").replace("$ID", job["id"])
    assert requests.post(url, json={"output": output}, timeout=20).ok
    job_input: dict[str, Any] = job["input"]
    return job_input


@pytest.fixture(scope="module")
def unserved() -> Iterator[Endpoint]:
    """An endpoint whose worker the test plays."""
    with platform.start(**SHOWN) as running:
        yield running


@pytest.fixture
def card_of(unserved: Endpoint, visit: Callable[..., Person]) -> Callable[[object], Card]:
    """The card of a job that was answered so."""
    person = visit(unserved.url).arrived()
    answers = itertools.count(1)

    def make(output: object) -> Card:
        number = next(answers)
        if number == 1:
            person.make()
        else:
            person.send()
        card = person.card(number)
        answer(unserved, output)
        card.expect_state("Done")
        return card

    return make


def test_files_outside_the_reply_are_told_with_their_place(card_of: Callable[[object], Card]) -> None:
    web, other = "https://bucket.example.org/good.png?signed", "javascript:alert(1)"
    urls = [{**STILL, "filename": name, "encoding": "url", "data": url} for name, url in (("a", web), ("b", other))]
    card = card_of({**ANSWER, "outputs": urls})
    card.unfold()
    expect(card.node.get_by_role("link", name="a", exact=True)).to_have_attribute("href", web)
    card.expect_to_say("b: its URL cannot be used")
    expect(card.node.locator("[href^=javascript]")).to_have_count(0)

    card = card_of({**ANSWER, "outputs": [ON_VOLUME]})
    card.unfold()
    card.expect_to_say(f"{ON_VOLUME['path']}, or s3://vol/outputs/1/frame.png at https://s3.example.org")


def test_an_image_that_stands_in_images_only_is_shown_and_given_back_with_its_job(
    card_of: Callable[[object], Card],
) -> None:
    images = [{"filename": STILL["filename"], "type": "base64", "data": drawn(32, 16)}]
    card = card_of({**ANSWER, "outputs": [{**STILL, "encoding": "images"}], "images": images})
    page, shown = card.node.page, card.node.locator(".screen img")
    assert shown.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [32, 16]
    urls = [image.get_attribute("src") for image in (shown, page.locator("#image-preview"))]
    loads = """url => new Promise(end => {
        Object.assign(new Image(), {src: url, onload: () => end(true), onerror: () => end(false)});
    })"""
    assert [page.evaluate(loads, url) for url in urls] == [True, True]
    card.unfold()
    card.button("Remove from this page").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    assert [page.evaluate(loads, url) for url in urls] == [False, False]


def test_an_answer_of_another_worker_is_shown_as_it_is(card_of: Callable[[object], Card]) -> None:
    for output, shown in (
        ("plain text", '"plain text"'),
        ([1], "[\n  1\n]"),
        ({"of": "another"}, '{\n  "of": "another"\n}'),
    ):
        expect(card_of(output).node.locator(".more > pre")).to_have_text(shown)


def test_a_field_that_the_schema_gains_is_offered_and_sent(visit: Callable[..., Person]) -> None:
    shown = copy.deepcopy(SHOWN)
    properties = shown["schemas"]["Request"]["properties"]
    properties["mood"] = {"enum": ["calm", "wild"], "type": "string", "default": "calm", "description": "How it feels."}
    choice = [{"const": "slow", "type": "string"}, {"type": "null"}]
    properties["tempo"] = {"anyOf": choice, "default": None, "description": "How fast it goes."}
    with platform.start(**shown) as endpoint:
        person = visit(endpoint.url).arrived()
        person.make(mood="wild", tempo="slow")
        sent = take(endpoint)["input"]
        person.write(mood="calm", tempo="")
        person.send()
        person.card(2)
        again = take(endpoint)["input"]
    assert (sent["mood"], sent["tempo"]) == ("wild", "slow")
    assert set(again) == {"image", "prompt", "preset", "num_frames", "steps", "resolution"}


def test_the_size_shown_is_the_size_that_the_worker_makes(unserved: Endpoint, visit: Callable[..., Person]) -> None:
    person = visit(unserved.url)
    sides = (17, 480, 683, 720, 1024, 1999)
    images = [(resolution, width, height) for resolution in TRAINED_SIZES for width in sides for height in sides]
    script = """async ([images, trained]) => {
        const {larger, nearestSize} = await import('/page/size.js');
        const sizes = images.map(([resolution, width, height]) => nearestSize(trained[resolution], width, height));
        const next = {'480p': trained['720p']};
        return sizes.map((size, place) => [size, larger(size, next[images[place][0]])]);
    }"""
    found = person.ask(script, images, SHOWN["schemas"]["Request"]["properties"]["resolution"]["x-sizes"])
    for (resolution, width, height), (size, upscaled) in zip(images, found, strict=True):
        upscale = {"480p": {"preset": "fast_720p"}, "720p": {"upscale": "1080p"}}[resolution]
        form = parse({"image": "x", "resolution": resolution, **upscale}, config.read({})).form(width, height)
        assert (tuple(size), tuple(upscaled)) == (form.sampled, form.size)


def test_the_reference_lists_every_call_and_field_and_its_example_runs(
    worker: Worker, visit: Callable[..., Person], tmp_path: Path
) -> None:
    person = visit(f"{worker.endpoint.url}/docs")
    for call in ("POST /run", "POST /runsync", "GET /status/{job_id}", "POST /cancel/{job_id}", "GET /health"):
        expect(person.page.get_by_role("rowheader", name=call, exact=True)).to_be_visible()
    fields = person.page.locator("#input").get_by_role("rowheader").all_inner_texts()
    assert fields == list(Request.model_fields)
    expect(person.page.locator("#input")).to_contain_text("integer: 0 to 18446744073709551615")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    example = person.page.locator("#a-request pre").inner_text()
    subprocess.run(["bash", "-euc", example], cwd=tmp_path, timeout=60, check=True)
    assert '"COMPLETED"' in (tmp_path / "answer.json").read_text()
