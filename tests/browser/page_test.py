"""A person makes clips on the page: with handler.py and the preview engine behind it."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pillow_heif
from PIL import Image
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.helpers import count_frames
from tests.worker_process import Worker

FULL = """() => {
    sessionStorage.clear();
    for (let size = 2 ** 20, place = 0; size >= 2 ** 12; size /= 2) {
        try {
            for (;;) sessionStorage.setItem(`full-${place++}`, 'x'.repeat(size));
        } catch {}
    }
}"""
"""Fills the tab's storage but for some 4 kB."""
LARGEST_SEED = 2**64 - 1  # more than JavaScript's numbers hold


def test_a_clip_is_made_played_scrubbed_and_saved(worker: Worker, visit: Callable[..., Person], tmp_path: Path) -> None:
    person = visit(worker.endpoint.url, reduced_motion="no-preference").arrived()
    expect(person.page.locator("#preview-note")).to_be_visible()
    card = person.make(num_frames=6, steps=60, seed=LARGEST_SEED)
    card.expect_to_say("Sample · step")
    assert 0 < person.page.get_by_role("progressbar").evaluate("bar => bar.value") < 100
    card.expect_to_say("left")
    expect(person.page).to_have_title(re.compile("^[0-9]+%"))
    card.expect_state("Done")
    expect(person.page).to_have_title(re.compile("^Done"))

    film = card.node.locator("video")
    person.page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")
    assert film.evaluate("film => film.loop && !film.paused")
    assert film.bounding_box()["y"] < card.node.get_by_role("heading").first.bounding_box()["y"]  # type: ignore[index]
    frames = card.node.get_by_role("slider", name="Frame")
    frames.focus()
    person.page.keyboard.press("End")
    expect(card.node.get_by_text("6 of 6")).to_be_visible()
    person.page.keyboard.press("ArrowLeft")
    expect(frames).to_have_attribute("aria-valuetext", "frame 5 of 6, second 0.17")
    assert film.evaluate("film => [film.paused, Math.floor(film.currentTime * 24)]") == [True, 4]
    assert person.save(card.node.get_by_role("link", name="Save this frame"), tmp_path).name == "frame_0005.jpg"
    assert count_frames(person.save(card.node.get_by_role("link", name="Save clip"), tmp_path)) == 6

    card.unfold()
    for told in (str(LARGEST_SEED), "768 × 512", "6 at 24 per second"):
        card.expect_to_say(told)
    archive = zipfile.ZipFile(person.save(card.button("Save everything (.zip)"), tmp_path))
    assert archive.testzip() is None
    assert archive.namelist() == ["clip.mp4", *(f"frame_{number:04}.jpg" for number in range(1, 7)), "job.json"]
    assert archive.read("frame_0005.jpg") == (tmp_path / "frame_0005.jpg").read_bytes()
    record = json.loads(archive.read("job.json"))
    assert (record["image"], record["input"]["prompt"]) == ("examples/rocket.jpg", "it moves")

    person.write(seed="")
    card.button("Use this seed").click()
    expect(person.field("seed")).to_have_value(str(LARGEST_SEED))


def test_the_example_runs_by_one_click_and_its_variants_stand_side_by_side(person: Person) -> None:
    person.write(num_frames=1, steps=1, seed=7)
    person.page.get_by_role("button", name="Run this example").click()
    card = person.card(1)
    card.expect_state("Done")
    card.node.get_by_label("Number of variants").select_option("2")
    card.button("Vary").click()
    variants = [person.card(2), person.card(3)]
    seeds = set()
    for variant in variants:
        variant.expect_state("Done")
        variant.unfold()
        seeds.add(variant.node.get_by_role("row", name="Seed").inner_text())
    left, right = (variant.node.bounding_box() for variant in variants)
    assert left
    assert right
    assert left["x"] < right["x"]
    assert left["y"] == right["y"]
    assert len(seeds) == 2
    variants[0].button("Remove from this page").click()
    expect(person.page.locator("article:visible")).to_have_count(1)


def test_a_clip_goes_on_from_its_last_frame_and_is_made_again_as_it_was_sent(person: Person) -> None:
    card = person.make()
    card.expect_state("Done")
    card.button("Continue from the last frame").click()
    expect(person.page.locator("#image-name")).to_contain_text("frame_0005.jpg, 768 × 512")
    expect(person.field("prompt")).to_be_focused()
    person.write(output="video")
    person.send()
    card = person.card(2)
    card.expect_state("Done")
    expect(card.node.locator(".strip img")).to_have_count(0)  # it is scrubbed all the same
    expect(card.node.get_by_role("slider", name="Frame")).to_have_attribute("max", "5")
    card.button("Continue from the last frame").click()
    expect(person.page.locator("#image-name")).to_contain_text("last-frame.jpg, 768 × 512")
    shown = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert person.page.locator("#image-preview").evaluate(shown) == [768, 512]
    person.card(1).button("Rerun").click()
    person.card(3).expect_state("Done")
    expect(person.card(3).node.locator(".strip img")).to_have_count(5)


def test_a_field_that_cannot_be_is_told_at_the_field_until_it_is_corrected_and_nothing_is_sent(person: Person) -> None:
    person.use_sample()
    alert = person.page.get_by_role("alert")
    for name, value, told in (
        ("num_frames", 500, "Frames must be a whole number from 1 to 129, got 500"),
        ("steps", "many", "Steps must be a whole number from 1 to 100, got many"),
        ("cfg", 31, "Guidance must be a number from 0 to 30, got 31"),
    ):
        person.write(**{name: value})
        person.send()
        person.expect_fault(person.field(name), told)
        person.write(**{name: 5})
        expect(alert).to_be_empty()
        expect(person.field(name)).not_to_have_attribute("aria-invalid", "true")
    person.expect_nothing_sent()


def test_every_fault_is_told_at_once_and_the_first_has_the_focus(person: Person) -> None:
    person.size("Custom")
    person.write(width=721, num_frames=0)
    person.send()
    person.expect_fault(person.page.get_by_label("Choose an image"), "is required")
    expect(person.page.locator('[aria-invalid="true"]')).to_have_count(3)  # and width, num_frames
    person.use_sample()
    expect(person.page.locator('[aria-invalid="true"]')).to_have_count(2)


def test_an_image_that_the_worker_would_refuse_is_told_before_anything_is_sent(person: Person, tmp_path: Path) -> None:
    Image.new("RGB", (1700, 100)).save(tmp_path / "strip.png")
    for content, told in (
        (b"dear worker", "not a readable image"),
        (b"", "empty file"),
        ((tmp_path / "strip.png").read_bytes(), "the long side may be at most 16 times the short one"),
    ):
        (tmp_path / "image.png").write_bytes(content)
        person.choose(tmp_path / "image.png")
        expect(person.page.locator(".fault:visible")).to_contain_text(told)
        person.send()
        person.expect_fault(person.page.get_by_label("Choose an image"), told)
    person.expect_nothing_sent()
    person.use_sample()
    expect(person.page.get_by_role("alert")).to_be_empty()


def test_what_is_left_blank_is_told_and_not_sent(person: Person) -> None:
    usual = "natural motion"  # the worker's own prompt
    hint = person.page.locator("#hint-prompt")
    expect(hint).to_contain_text(usual)
    person.write(prompt="it moves")
    expect(hint).not_to_contain_text(usual)
    card = person.make(prompt="  ")
    expect(hint).to_contain_text(usual)
    card.expect_state("Done")


def test_what_only_the_worker_finds_is_told_at_the_image_in_words(person: Person, tmp_path: Path) -> None:
    (tmp_path / "scan.tiff").write_bytes(b"II*\0 not much of a TIFF")
    person.choose(tmp_path / "scan.tiff")
    person.send()
    card = person.card(1)
    card.expect_state("Failed")
    card.expect_to_say("The image was refused")
    person.expect_fault(person.page.get_by_label("Choose an image"), "Image is")
    assert "_" not in card.node.locator(".error").inner_text()  # neither codes nor names of fields


def test_a_phones_photo_that_the_browser_cannot_show_is_sent_as_it_is(person: Person, tmp_path: Path) -> None:
    pillow_heif.from_pillow(Image.new("RGB", (96, 64), "teal")).save(tmp_path / "photo.heic")
    person.choose(tmp_path / "photo.heic")
    person.send()
    person.card(1).expect_state("Done")


def test_loras_are_written_with_their_strength_and_what_is_wrong_with_one_is_told_there(person: Person) -> None:
    card = person.make(loras="style:99, grain")
    card.expect_state("Failed")
    person.expect_fault(person.field("loras"), "a number from -10 to 10")
    person.write(loras="style:0.8, grain")
    person.send()
    made = person.card(2)
    made.expect_state("Done")
    made.unfold()
    made.expect_to_say("style.safetensors at 0.8, grain.safetensors at 1")
    made.button("Edit settings").click()
    expect(person.field("loras")).to_have_value(re.compile(r"style:0\.8, ?grain"))


def test_what_only_the_worker_can_refuse_is_told_at_its_field_unless_the_form_has_changed(person: Person) -> None:
    refused = person.field("delivery")
    card = person.make(delivery="volume")
    card.expect_state("Failed")
    person.expect_fault(refused, "volume")

    person.write(delivery="auto", steps=100)
    person.send()
    person.card(2).expect_state("Running")  # the next one waits behind it
    person.write(delivery="volume", steps=2)
    person.send()
    person.card(3)
    person.write(prompt="something else")
    person.card(2).button("Cancel").click()
    person.card(3).expect_state("Failed")
    expect(refused).not_to_have_attribute("aria-invalid", "true")
    person.card(1).button("Edit settings").click()
    expect(person.field("prompt")).to_have_value("it moves")
    expect(refused).to_have_attribute("aria-invalid", "true")


def test_two_jobs_run_one_after_the_other_and_stay_until_they_are_removed(person: Person) -> None:
    first = person.make(steps=100, num_frames=5)
    first.expect_state("Running")
    person.write(prompt="it moves more", steps=2, seed=8, output="frames")
    person.send()
    person.card(2).expect_to_say("number 1 of 1 in the queue")
    person.card(1).button("Cancel").click()
    first.expect_state("Cancelled")
    expect(first.button("Cancel")).to_have_count(0)
    second = person.card(2)
    second.expect_state("Done")
    expect(second.node.locator("video")).to_have_count(0)  # the frames alone were asked for
    expect(second.node.locator(".screen img")).to_be_visible()

    person.card(1).button("Edit settings").click()
    values = [person.field(name).input_value() for name in ("prompt", "steps", "seed", "output")]
    assert values == ["it moves", "100", "", "both"]
    second = person.card(2)
    second.unfold()
    second.button("Remove from this page").click()
    expect(person.page.locator("article")).to_have_count(1)
    expect(first.node).to_be_visible()


def test_jobs_survive_a_reload_are_cancelled_after_it_and_made_again(person: Person) -> None:
    person.make(seed=5).expect_state("Done")
    person.write(steps=100)
    person.send()
    person.card(2).expect_state("Running")
    person.page.reload()
    person.arrived()
    second = person.card(2)
    second.expect_state("Running")
    second.button("Cancel").click()
    second.expect_state("Cancelled")
    assert [person.field(name).input_value() for name in ("prompt", "steps")] == ["it moves", "100"]
    expect(person.page.locator("#image-name")).to_contain_text("640 × 427")

    first = person.card(1)
    first.expect_state("Done")
    assert first.node.locator("video").evaluate("film => film.readyState > 0 || film.networkState !== 3")
    first.button("Rerun").click()
    third = person.card(3)
    third.expect_state("Done")
    third.unfold()
    expect(third.node.get_by_role("row", name="Seed")).to_contain_text("5")


def test_the_page_works_where_the_browser_stores_nothing(person: Person) -> None:
    refuse = "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no'); }})"
    person.page.add_init_script(refuse)
    person.page.reload()
    person.arrived().make().expect_state("Done")


def test_an_image_that_no_request_could_carry_is_made_smaller_and_the_page_says_so(
    person: Person, tmp_path: Path
) -> None:
    Image.new("RGB", (2600, 1000), "navy").save(tmp_path / "large photo.bmp")
    assert (tmp_path / "large photo.bmp").stat().st_size > 7_000_000
    person.choose(tmp_path / "large photo.bmp")
    expect(person.page.locator("#image-note")).to_contain_text("2600 × 1000")
    smaller = person.save(person.page.get_by_role("button", name="Save large photo-smaller.jpg"), tmp_path)
    assert smaller.stat().st_size <= 7_000_000
    person.size("480p")
    person.write(prompt="it moves", num_frames=1, steps=1)
    person.send()
    person.card(1).expect_state("Done")
    person.page.evaluate(FULL)
    person.send()
    person.card(2).expect_state("Done")
    person.page.reload()  # the tab's storage had no room for the image
    person.arrived()
    person.card(2).expect_state("Done")
    person.card(2).button("Rerun").click()
    expect(person.page.get_by_role("alert")).to_contain_text("choose it again")
    expect(person.page.locator("article")).to_have_count(2)


def test_the_preset_brings_its_size_until_one_is_chosen_and_the_length_its_frames(person: Person) -> None:
    chosen = person.page.locator('[name="resolution"]:checked')
    person.page.locator("#preset-fast").check()
    expect(chosen).to_have_value("480p")
    person.page.get_by_role("radio", name="Quality").check()
    expect(chosen).to_have_value("720p")
    person.size("480p")
    person.page.get_by_role("radio", name="Balanced").check()
    expect(chosen).to_have_value("480p")
    person.page.get_by_role("slider", name="Length").fill("121")
    expect(person.field("num_frames")).to_have_value("121")
    expect(person.page.locator("#seconds")).to_have_text("5.0 s")
    person.write(fps=12, num_frames=24)
    expect(person.page.locator("#seconds")).to_have_text("2.0 s")
