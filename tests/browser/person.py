"""What a person does on the page and sees there, in the page's own words."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Download, Locator, Page, expect

from worker import config, schemas

SEND = "Generate"
SHOWN: dict[str, Any] = {"schemas": schemas.components(config.read({})), "preview": True}
"""What handler.py tells its own endpoint."""


class Card:
    """A job on the stage."""

    def __init__(self, node: Locator) -> None:
        self.node = node

    def button(self, name: str) -> Locator:
        return self.node.get_by_role("button", name=name, exact=True)

    def expect_state(self, state: str) -> None:
        expect(self.node.locator(".state")).to_have_text(state, timeout=60_000)

    def expect_to_say(self, text: str) -> None:
        expect(self.node).to_contain_text(text, timeout=60_000)

    def unfold(self, *summaries: str) -> None:
        for summary in ("Details", *summaries):
            self.node.get_by_text(summary, exact=True).click()

    def code(self, language: str) -> str:
        """The request in a language; Details are unfolded, and the request as code."""
        self.node.get_by_text(language, exact=True).click()
        program = self.node.locator("details", has=self.node.page.get_by_text(language, exact=True)).last
        return program.locator("pre").inner_text()


class Person:
    """Somebody at the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def arrived(self) -> "Person":
        expect(self.page.get_by_role("button", name=SEND)).to_be_enabled()
        return self

    def use_sample(self) -> None:
        self.page.get_by_role("button", name="Use the sample image").click()
        expect(self.page.locator("#image-name")).to_contain_text("640 × 427")

    def choose(self, picture: Path) -> None:
        self.page.get_by_label("Choose an image").set_input_files(picture)

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

    def size(self, name: str) -> None:
        self.page.get_by_role("radio", name=name, exact=True).check()

    def send(self) -> None:
        self.page.get_by_role("button", name=SEND).click()

    def make(self, **fields: object) -> Card:
        """Send a small job with the sample image; its card."""
        self.use_sample()
        self.size("480p")
        self.write(**{"prompt": "it moves", "num_frames": 5, "steps": 2, **fields})
        self.send()
        return self.card(1)

    def card(self, number: int) -> Card:
        """The card of the clip with that number, brought back from the reel if need be."""
        card = Card(self.page.locator("article", has=self.page.locator("h3", has_text=f"Clip {number} ")))
        expect(card.node).to_be_attached()
        if not card.node.is_visible():
            self.page.locator("#reel").get_by_role("button", name=f"Clip {number}").click()
        return card

    def expect_nothing_sent(self) -> None:
        expect(self.page.locator("article")).to_have_count(0)

    def expect_fault(self, field: Locator, text: str) -> None:
        """The field is marked, has the focus, and its description has the fault; so does the summary."""
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
