"""The page by keyboard, by screen reader, on a phone, in light and dark, and with texts as long as German ones."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.person import Person
from tests.javascript_modules import javascript_modules
from tests.worker_process import Worker

GROUND = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
PHONE = {"width": 360, "height": 740}
LONGER = """() => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const text = walk.currentNode;
        if (text.data.trim() && !text.parentElement.closest('script, pre')) {
            text.data = text.data.replace(/\\p{L}{4,}/gu, 'Donaudampfschifffahrts$&');
        }
    }
}"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of that name or label has the focus, as one without a mouse does."""
    label = "node => node.labels?.[0]?.textContent ?? node.getAttribute('aria-label') ?? node.textContent"
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and focused.evaluate(label).strip() == name:
            assert (
                focused.evaluate("node => getComputedStyle(node.closest('.zone, .choice') ?? node).outlineStyle")
                == "solid"
            )
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_a_clip_is_made_cancelled_and_made_again_by_keyboard_alone(person: Person) -> None:
    keyboard = person.page.keyboard
    tab_to(person.page, "Use the sample image")
    keyboard.press("Enter")
    expect(person.page.locator("#image-name")).to_contain_text("640 × 427")
    tab_to(person.page, "Prompt")
    keyboard.type("it moves")
    tab_to(person.page, "720p")
    keyboard.press("ArrowLeft")
    tab_to(person.page, "More settings")
    keyboard.press("Enter")
    tab_to(person.page, "Steps")
    keyboard.type("100")
    tab_to(person.page, "Generate Ctrl+Enter")
    keyboard.press("Enter")
    card = person.card(1)
    card.expect_state("Running")
    tab_to(person.page, "Cancel")
    keyboard.press("Enter")
    card.expect_state("Cancelled")
    expect(card.button("Rerun")).to_be_focused()  # not lost with the button that is gone
    tab_to(person.page, "Edit settings")
    keyboard.press("Enter")
    expect(person.field("prompt")).to_be_focused()
    keyboard.press("Control+Enter")
    person.card(2).expect_state("Running")
    person.card(2).button("Cancel").click()


def test_a_screen_reader_hears_each_change_and_each_quarter_and_no_more(person: Person) -> None:
    person.page.evaluate("""() => {
        window.heard = [];
        const news = document.getElementById('news');
        new MutationObserver(() => heard.push(news.textContent)).observe(news, {childList: true});
    }""")
    person.make(steps=60).expect_state("Done")
    expect(person.page.locator("#news")).to_have_text("Clip 1 is done")
    heard = person.page.evaluate("heard")
    assert heard[0] == "Clip 1 sent"
    assert set(heard) <= {"Clip 1 sent", "Clip 1 is waiting", "Clip 1 is running", "Clip 1 is done"} | {
        f"Clip 1 is at {percent}%" for percent in (25, 50, 75)
    }
    assert len(heard) == len(set(heard)) > 2


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_axe_finds_nothing_in_light_or_dark(worker: Worker, visit: Callable[..., Person], path: str) -> None:
    axe = (javascript_modules() / "node_modules" / "axe-core" / "axe.min.js").read_text()
    person = visit(worker.endpoint.url + path, color_scheme="light")
    if path == "/":
        person.arrived().make(delivery="volume").expect_state("Failed")
        person.write(delivery="auto")
        person.send()
        person.card(2).expect_state("Done")
        person.page.evaluate("document.querySelectorAll('details').forEach(part => (part.open = true))")
    else:
        expect(person.page.get_by_role("heading", name="Input")).to_be_visible()
    person.page.evaluate(axe)
    assert faults_of(person.page) == []
    light = person.page.evaluate(GROUND)
    person.page.emulate_media(color_scheme="dark")
    assert sum(person.page.evaluate(GROUND)) < 384 < sum(light)
    assert faults_of(person.page, "color-contrast") == []


def faults_of(page: Page, *rules: str) -> list[tuple[str, list[str]]]:
    """What axe finds, by rule: all of them, or these."""
    found: dict[str, Any] = page.evaluate("rules => axe.run(rules.length ? {runOnly: rules} : {})", list(rules))
    assert found["passes"]
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]


def test_generate_is_in_reach_and_the_clip_in_sight(person: Person) -> None:
    screens = ((1440, 900), (1280, 720), (390, 844))
    person.use_sample()
    person.size("480p")
    person.page.get_by_text("More settings").click()
    person.write(num_frames=5, steps=2)
    for width, height in screens:
        person.page.set_viewport_size({"width": width, "height": height})
        for place in (0, 300):
            person.page.evaluate("place => window.scrollTo(0, place)", place)
            expect(person.page.get_by_role("button", name="Generate")).to_be_in_viewport(ratio=1)
    person.send()
    card = person.card(1)
    card.expect_state("Done")
    for width, height in screens:
        person.page.set_viewport_size({"width": width, "height": height})
        card.node.evaluate("card => card.scrollIntoView({block: 'nearest'})")
        save = card.node.get_by_role("link", name="Save clip")
        for shown in (card.node.locator("video"), card.node.locator(".strip"), save):
            expect(shown).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_phone_scrolls_down_only_even_with_texts_as_long_as_german_ones(
    worker: Worker, visit: Callable[..., Person], path: str
) -> None:
    person = visit(worker.endpoint.url + path, viewport=PHONE, has_touch=True, is_mobile=True)
    if path == "/":
        person.arrived().page.get_by_text("Runs on").click()
        person.page.get_by_label("A RunPod endpoint").check()
        person.page.get_by_label("This machine").check()
        card = person.make(prompt="Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3)
        card.expect_state("Done")
        card.unfold("This request as code", "Python")
        person.size("Custom")
    else:
        expect(person.page.get_by_role("heading", name="Input")).to_be_visible()
    for change in ("() => {}", LONGER):
        person.page.evaluate(change)
        assert person.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
