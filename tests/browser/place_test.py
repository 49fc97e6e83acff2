"""Where the page's jobs run: a server that is gone and back, and RunPod, played by a second local endpoint."""

import logging
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from local import endpoint as platform
from local.endpoint import Endpoint
from tests.browser.person import SHOWN, Person
from tests.worker_process import Worker

KEY = "rpa_a-key-that-is-secret"


def test_a_job_goes_on_when_the_server_is_reached_again(person: Person) -> None:
    card = person.make(steps=60)
    card.expect_state("Running")
    person.page.context.set_offline(True)
    card.expect_to_say("Trying again")
    person.page.context.set_offline(False)
    card.expect_state("Done")
    expect(card.node.locator(".trouble")).to_be_hidden()


def test_a_job_that_a_restarted_server_does_not_know_ends_with_what_to_do(visit: Callable[..., Person]) -> None:
    first = platform.start(**SHOWN)
    person = visit(first.url).arrived()
    card = person.make()
    card.expect_to_say("number 1 of 1 in the queue, no worker yet")
    first.close()
    card.expect_to_say("Trying again")
    with platform.start(port=int(first.url.rpartition(":")[2]), **SHOWN):
        card.expect_state("Lost")
        card.button("Rerun").click()
        person.card(2).expect_to_say("no worker yet")


def test_what_cannot_be_sent_is_told_and_the_form_keeps_it(person: Person) -> None:
    person.use_sample()
    person.write(prompt="it moves")
    person.page.context.set_offline(True)
    person.send()
    expect(person.page.get_by_role("alert")).to_have_text("Not sent: the server does not answer.")
    expect(person.field("prompt")).to_have_value("it moves")
    person.page.context.set_offline(False)


@pytest.fixture
def server(worker: Worker) -> Iterator[Endpoint]:
    """A server without a worker, for which `worker`'s endpoint is RunPod."""
    with platform.start(**SHOWN, remote_url=f"{worker.endpoint.url}/v2") as running:
        yield running


def choose_endpoint(person: Person) -> None:
    person.page.get_by_text("Runs on").click()
    person.page.get_by_label("A RunPod endpoint").check()
    person.page.get_by_label("Endpoint id").fill("abc123")
    person.page.get_by_label("API key").fill(KEY)


def test_a_deployed_endpoint_is_driven_and_its_key_is_kept_nowhere(
    server: Endpoint, worker: Worker, visit: Callable[..., Person], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    person = visit(server.url).arrived()
    choose_endpoint(person)
    expect(person.page.locator("#preview-note")).to_be_hidden()  # nobody knows what is behind that endpoint
    person.page.get_by_role("button", name="Test connection").click()
    expect(person.page.locator("#remote-state")).to_contain_text("1 workers ready")
    card = person.make(steps=40)
    card.expect_state("Running")
    card.expect_state("Done")
    card.unfold("This request as code")
    card.expect_to_say("endpoint abc123")
    curl = card.code("curl")
    assert "https://api.runpod.ai/v2/abc123/runsync" in curl
    assert "Bearer $RUNPOD_API_KEY" in curl
    person.write(steps=100)
    person.send()
    second = person.card(2)
    second.expect_state("Running")

    stored = """async () => JSON.stringify([
        {...localStorage}, {...sessionStorage}, document.cookie, location.href, await indexedDB.databases(),
        document.documentElement.outerHTML])"""
    for place in (str(person.page.evaluate(stored)), caplog.text, worker.log):
        assert KEY not in place
    person.page.reload()
    person.arrived()
    expect(person.page.get_by_label("API key")).to_have_value("")
    second = person.card(2)
    second.expect_to_say("API key")
    person.page.get_by_label("API key").fill(KEY)
    person.page.keyboard.press("Tab")
    second.expect_state("Running")
    second.button("Cancel").click()
    second.expect_state("Cancelled")


def test_an_endpoint_without_id_and_key_is_asked_for_them(server: Endpoint, visit: Callable[..., Person]) -> None:
    person = visit(server.url).arrived()
    person.page.get_by_text("Runs on").click()
    person.page.get_by_label("A RunPod endpoint").check()
    person.page.get_by_text("Runs on").click()
    person.use_sample()
    person.write(prompt="it moves")
    person.send()
    expect(person.page.get_by_label("Endpoint id")).to_be_focused()
    expect(person.page.locator('[aria-invalid="true"]')).to_have_count(2)
    person.expect_nothing_sent()
