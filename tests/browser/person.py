"""What a person does on the page and sees there, in the page's own words."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Download, Locator, Page, expect

from worker import config, schemas

SEND = "Generate"
SHOWN: dict[str, Any] = {"schemas": schemas.components(config.read({})), "preview": True}
"""What handler.py tells its own endpoint."""


class Card:
    """A job in the history."""

    def __init__(self, node: Locator) -> None:
        self.node = node

    def button(self, name: str) -> Locator:
        return self.node.get_by_role("button", name=name, exact=True)

    def expect_state(self, state: str) -> None:
        expect(self.node.locator(".state")).to_have_text(state, timeout=60_000)

    def expect_to_say(self, text: str) -> None:
        expect(self.node).to_contain_text(text, timeout=60_000)


class Person:
    """Somebody at the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def arrived(self) -> "Person":
        expect(self.page.get_by_role("button", name=SEND)).to_be_enabled()
        return self

    def use_sample(self) -> None:
        self.page.get_by_role("button", name="Use the sample picture").click()
        expect(self.page.locator("#picture-name")).to_contain_text("640 × 427")

    def choose(self, picture: Path) -> None:
        self.page.get_by_label("Choose a picture").set_input_files(picture)

    def write(self, **fields: object) -> None:
        """Fill or choose fields by their names in the job's input."""
        for name, value in fields.items():
            field = self.field(name)
            if not field.is_visible():
                self.page.get_by_text("More settings").click()
            if field.evaluate("node => node.tagName") == "SELECT":
                field.select_option(str(value))
            else:
                field.fill(str(value))

    def field(self, name: str) -> Locator:
        return self.page.locator(f"#field-{name}")

    def send(self) -> None:
        self.page.get_by_role("button", name=SEND).click()

    def make(self, **fields: object) -> Card:
        """Send a small job with the sample picture; its card."""
        self.use_sample()
        self.write(**{"prompt": "it moves", "num_frames": 5, "steps": 2, **fields})
        self.send()
        return self.newest(1)

    def newest(self, jobs: int) -> Card:
        """The newest card, once there are so many."""
        cards = self.page.get_by_role("article")
        expect(cards).to_have_count(jobs)
        return Card(cards.first)

    def card(self, number: int) -> Card:
        return Card(self.page.get_by_role("article", name=f"Job {number} "))

    def expect_fault(self, field: Locator, text: str) -> None:
        """The field is marked, has the focus, and its description has the fault."""
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        described = (field.get_attribute("aria-describedby") or "").split()
        assert text in " ".join(self.page.locator(f"#{part}").inner_text() for part in described)
        expect(self.page.get_by_role("alert")).to_contain_text(text)

    def save(self, link: Locator, folder: Path) -> Path:
        """Click a link or button that saves a file; the file."""
        with self.page.expect_download() as started:
            link.click()
        download: Download = started.value
        path = folder / download.suggested_filename
        download.save_as(path)
        return path

    def ask(self, script: str, *arguments: Any) -> Any:
        """What a function of JavaScript returns, given one array."""
        return self.page.evaluate(script, list(arguments))
