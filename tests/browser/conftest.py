"""A real browser on the page, with the real handler.py behind it."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

from local import engine as preview
from tests.browser.person import SHOWN, Person
from tests.worker_process import Worker, worker_at

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "no browser here: install Debian's package chromium, or google-chrome"
QUIET = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests that lack a browser are skipped at this file, so that the summary says it in one line."""
    report = yield
    if report.skipped and NO_BROWSER in str(report.longrepr):
        report.longrepr = (__file__, 0, NO_BROWSER)
    return report


# The package's, not the session's: while Playwright runs, no other test could use asyncio.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(NO_BROWSER)
    arguments = [*QUIET, "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=program, args=arguments) as running:
            yield running


@pytest.fixture(scope="package")
def worker(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with preview.start(scenario=preview.Scenario(step_seconds=0.03)) as engine:
        with worker_at(engine.url, log, options=SHOWN, COMFYUI_DIR=str(engine.home)) as running:
            yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Person]]:
    """Open a URL in a tab of its own; `options` are Playwright's for a context. The page must not log an error."""
    complaints: list[str] = []
    contexts = []

    def note(message: ConsoleMessage) -> None:
        # The browser itself logs calls that were refused or not answered.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    def open_page(url: str, **options: object) -> Person:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return Person(page)

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def person(worker: Worker, visit: Callable[..., Person]) -> Person:
    """Somebody who has opened the page."""
    return visit(worker.endpoint.url).arrived()
