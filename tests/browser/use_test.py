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
            assert focused.evaluate("node => getComputedStyle(node.closest('.zone') ?? node).outlineStyle") == "solid"
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_a_clip_is_made_cancelled_and_made_again_by_keyboard_alone(person: Person) -> None:
    keyboard = person.page.keyboard
    tab_to(person.page, "Use the sample picture")
    keyboard.press("Enter")
    expect(person.page.locator("#picture-name")).to_contain_text("640 × 427")
    tab_to(person.page, "Prompt")
    keyboard.type("it moves")
    tab_to(person.page, "480p")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowLeft")
    tab_to(person.page, "Frames")
    keyboard.type("5")
    tab_to(person.page, "Steps")
    keyboard.type("100")
    tab_to(person.page, "Generate")
    keyboard.press("Enter")
    card = person.newest(1)
    card.expect_state("Running")
    tab_to(person.page, "Cancel")
    keyboard.press("Enter")
    card.expect_state("Cancelled")
    expect(card.button("Show")).to_be_focused()  # not lost with the button that is gone
    tab_to(person.page, "Use these settings")
    keyboard.press("Enter")
    tab_to(person.page, "Prompt")
    keyboard.press("Control+Enter")
    person.newest(2).expect_state("Running")
    person.newest(2).button("Cancel").click()


def test_a_screen_reader_hears_each_change_and_each_quarter_and_no_more(person: Person) -> None:
    person.page.evaluate("""() => {
        window.heard = [];
        const news = document.getElementById('news');
        new MutationObserver(() => heard.push(news.textContent)).observe(news, {childList: true});
    }""")
    person.make(steps=100).expect_state("Done")
    expect(person.page.locator("#news")).to_have_text("Job 1 is done")
    heard = person.page.evaluate("heard")
    assert heard[0] == "Job 1 is sent"
    assert set(heard) <= {"Job 1 is sent", "Job 1 waits", "Job 1 runs", "Job 1 is done"} | {
        f"Job 1 is at {percent} %" for percent in (25, 50, 75)
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
        person.newest(2).expect_state("Done")
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


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_phone_scrolls_down_only_even_with_texts_as_long_as_german_ones(
    worker: Worker, visit: Callable[..., Person], path: str
) -> None:
    person = visit(worker.endpoint.url + path, viewport=PHONE, has_touch=True, is_mobile=True)
    if path == "/":
        person.arrived().page.get_by_label("A RunPod endpoint").check()
        person.page.get_by_label("This machine").check()
        card = person.make(prompt="Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3)
        card.expect_state("Done")
        card.node.get_by_text("This request as code").click()
        person.page.get_by_text("width × height").click()
    else:
        expect(person.page.get_by_role("heading", name="Input")).to_be_visible()
    for change in ("() => {}", LONGER):
        person.page.evaluate(change)
        assert person.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
