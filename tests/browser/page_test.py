"""A person makes clips on the page: with handler.py and the preview engine behind it."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy
from PIL import Image
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.worker_process import Worker

LARGEST_SEED = 2**64 - 1  # more than JavaScript's numbers hold


def test_a_clip_is_made_played_leafed_through_and_saved(
    worker: Worker, visit: Callable[..., Person], tmp_path: Path
) -> None:
    person = visit(worker.endpoint.url, reduced_motion="no-preference").arrived()
    expect(person.page.locator("#preview-note")).to_contain_text("not HunyuanVideo")
    card = person.make(num_frames=6, steps=60, seed=LARGEST_SEED)
    card.expect_to_say("Sample · step")
    assert 0 < person.page.get_by_role("progressbar").evaluate("bar => bar.value") < 100
    card.expect_to_say("left")
    card.expect_state("Done")
    card.expect_to_say("this was not made by HunyuanVideo")
    for told in (str(LARGEST_SEED), "768 × 512", "6 at 24 per second", "Worker: execution"):
        card.expect_to_say(told)

    person.page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")
    frames = card.node.get_by_role("slider", name="Frame")
    frames.focus()
    person.page.keyboard.press("End")
    expect(card.node.get_by_text("6 of 6")).to_be_visible()
    person.page.keyboard.press("ArrowLeft")
    expect(frames).to_have_attribute("aria-valuetext", "frame 5 of 6, second 0.17")
    assert person.save(card.node.get_by_role("link", name="Save this frame"), tmp_path).name == "frame_0005.jpg"
    with av.open(str(person.save(card.node.get_by_role("link", name="Save the clip"), tmp_path))) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 6

    archive = zipfile.ZipFile(person.save(card.button("Save everything (.zip)"), tmp_path))
    assert archive.testzip() is None
    assert archive.namelist() == ["clip.mp4", *(f"frame_{number:04}.jpg" for number in range(1, 7)), "job.json"]
    assert archive.read("frame_0005.jpg") == (tmp_path / "frame_0005.jpg").read_bytes()
    record = json.loads(archive.read("job.json"))
    assert (record["picture"], record["input"]["prompt"]) == ("examples/rocket.jpg", "it moves")

    person.write(seed="")
    card.button("Use this seed again").click()
    expect(person.field("seed")).to_have_value(str(LARGEST_SEED))


def test_a_field_that_cannot_be_is_told_at_the_field_and_nothing_is_sent(person: Person) -> None:
    person.use_sample()
    person.write(prompt="it moves")
    for name, value, told in (
        ("num_frames", 500, "num_frames: must be a whole number from 1 to 129, got 500"),
        ("steps", "many", "steps: must be a whole number from 1 to 100, got many"),
        ("cfg", 31, "cfg: must be a number from 0 to 30, got 31"),
        ("prompt", " ", "prompt: is required"),
    ):
        person.write(**{name: value})
        person.send()
        expect(person.page.get_by_role("alert")).to_contain_text(told)
        person.expect_fault(person.field(name), told.partition(": ")[2])
        person.write(**{name: 5})
    expect(person.page.get_by_role("article")).to_have_count(0)


def test_every_fault_is_told_at_once_and_the_first_has_the_focus(person: Person) -> None:
    person.page.get_by_text("width × height").click()
    person.write(width=721, num_frames=0)
    person.send()
    person.expect_fault(person.page.get_by_label("Choose a picture"), "is required")
    expect(person.page.locator('[aria-invalid="true"]')).to_have_count(4)  # and prompt, width, num_frames


def test_a_file_that_is_no_picture_is_told_at_the_picture_by_the_worker(person: Person, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("dear worker")
    person.choose(tmp_path / "letter.png")
    person.write(prompt="it moves")
    person.send()
    card = person.newest(1)
    card.expect_state("Failed")
    card.expect_to_say("image_rejected: image is no picture")
    person.expect_fault(person.page.get_by_label("Choose a picture"), "is no picture that can be read")


def test_what_only_the_worker_can_refuse_is_told_at_its_field_unless_the_form_has_changed(person: Person) -> None:
    refused = person.field("delivery")
    card = person.make(delivery="volume")
    card.expect_state("Failed")
    person.expect_fault(refused, "volume")

    person.write(delivery="auto", steps=100)
    person.send()
    person.newest(2).expect_state("Running")  # the next one waits behind it
    person.write(delivery="volume", steps=2)
    person.send()
    person.newest(3)
    person.write(prompt="something else")
    person.card(2).button("Cancel").click()
    person.card(3).expect_state("Failed")
    expect(refused).not_to_have_attribute("aria-invalid", "true")
    card = person.card(1)
    card.button("Use these settings").click()
    expect(person.field("prompt")).to_have_value("it moves")
    expect(refused).to_have_attribute("aria-invalid", "true")


def test_a_running_job_is_cancelled(person: Person) -> None:
    card = person.make(steps=100)
    card.expect_state("Running")
    card.button("Cancel").click()
    card.expect_state("Cancelled")
    expect(card.button("Cancel")).to_be_hidden()
    expect(person.page.locator("#news")).to_have_text("Job 1 is cancelled")


def test_two_jobs_run_one_after_the_other_and_stay_until_they_are_removed(person: Person) -> None:
    first = person.make(steps=100, num_frames=5)
    first.expect_state("Running")
    person.write(prompt="it moves more", steps=2, seed=8, output="video")
    person.send()
    person.newest(2).expect_to_say("position 1 of 1")
    first, second = person.card(1), person.card(2)
    first.button("Cancel").click()
    second.expect_state("Done")
    first.expect_state("Cancelled")
    expect(second.node.get_by_role("slider")).to_have_count(0)  # the video alone was asked for

    first.button("Use these settings").click()
    assert [person.field(name).input_value() for name in ("prompt", "steps", "seed", "output")] == [
        "it moves",
        "100",
        "",
        "both",
    ]
    second.button("Remove").click()
    expect(person.page.get_by_role("article")).to_have_count(1)


def test_a_picture_that_no_request_could_carry_is_made_smaller_and_the_page_says_so(
    person: Person, tmp_path: Path
) -> None:
    noise = numpy.random.default_rng(7).integers(0, 256, (2600, 3400, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(tmp_path / "large photo.jpg", quality=95)
    assert (tmp_path / "large photo.jpg").stat().st_size > 7_000_000
    person.choose(tmp_path / "large photo.jpg")
    expect(person.page.locator("#picture-note")).to_contain_text("it was 3400 × 2600")
    smaller = person.save(person.page.get_by_role("link", name="Save large photo-smaller.jpg"), tmp_path)
    assert smaller.stat().st_size <= 7_000_000
    person.write(prompt="it moves", num_frames=1, steps=1)
    person.send()
    person.newest(1).expect_state("Done")
