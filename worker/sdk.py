"""Everything of the `runpod` SDK but `start`: progress, the guard for callers' addresses, and what would silence it.

The SDK reads its environment when it is imported, and takes 1.6 s to: it is imported where it is used.
"""

import argparse
import asyncio
import contextlib
import ctypes
from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

from worker import config
from worker.config import Settings
from worker.errors import ConfigError

Report = Callable[[dict[str, Any]], None]
Cancelled = Event
Work = Callable[[Report, Event], dict[str, Any]]

ROOM_TICK = 0.02  # seconds between looks whether a job has ended
M_MMAP_THRESHOLD, LARGE = -3, 128 * 1024  # glibc's number for the setting, and its default in bytes

# With any of these the SDK never asks the queue for a job, while the endpoint looks healthy.
SILENCERS = {
    "--rp_serve_api": "it serves the SDK's test API instead",
    "--test_input": "it runs that one job and exits",
}


def answer_help(arguments: list[str], description: str | None) -> None:
    """Show the worker's own help and exit, where it is asked for; the SDK's comes after a boot and offers silencers."""
    parser = argparse.ArgumentParser("handler.py", description=description, allow_abbrev=False)
    parser.parse_known_args(arguments)


def find_silencers(arguments: Iterable[str]) -> list[str]:
    """The flags among a command's arguments that keep the SDK from taking jobs; it takes shortened ones as well."""
    names = [argument.split("=", maxsplit=1)[0] for argument in arguments if argument.startswith("--")]
    return [flag for flag in SILENCERS if any(len(name) > len("--") and flag.startswith(name) for name in names)]


def refuse_silencers(settings: Settings, arguments: Iterable[str]) -> None:
    """Raise ConfigError for whatever would keep the handler from being called, naming what to remove."""
    for flag in find_silencers(arguments):
        raise ConfigError(
            f"with {flag} this worker never takes a job: {SILENCERS[flag]}. Remove it from the container's command"
        )
    if settings.realtime_port:
        raise ConfigError(
            "with RUNPOD_REALTIME_PORT set this worker never takes a job: it serves HTTP instead. "
            "Remove it from the endpoint's environment"
        )


def address_guard() -> Any:
    """The SDK's own guard for addresses that callers name: public ones only, pinned, redirects checked.

    `safe_get` raises ValueError for a refused address, else what requests raises; `resolve_and_validate` ValueError.
    """
    from runpod.serverless.utils import rp_ssrf

    return rp_ssrf


class _ToldToEnd(Exception):
    """No more jobs are to be taken."""


def amend_job_loop() -> None:
    """Have the SDK run each job that it takes, and take the next one as soon as there is room for it.

    Told to end while it asks the queue for one, it stops starting jobs, waits for the answer, and drops the job that is
    in it: the caller would wait for the execution timeout. And it looks for room once a second: the GPU idles for half
    of one between two clips.
    """
    from runpod.serverless.modules import rp_scale

    class Scaler(rp_scale.JobScaler):  # type: ignore[misc]  # the SDK has no types
        """The SDK's loops, of which the one that runs jobs ends after the one that takes them."""

        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            self._all_taken = asyncio.Event()

        async def set_scale(self) -> None:
            """What the SDK calls before it looks for room."""
            await super().set_scale()
            while self.is_alive() and self.current_occupancy() >= self.current_concurrency:
                await asyncio.sleep(ROOM_TICK)
            if not self.is_alive():
                raise _ToldToEnd

        async def get_jobs(self, session: Any) -> None:
            try:
                with contextlib.suppress(_ToldToEnd):
                    await super().get_jobs(session)
            finally:
                self._all_taken.set()

        async def run_jobs(self, session: Any) -> None:
            await super().run_jobs(session)
            await self._all_taken.wait()
            await super().run_jobs(session)  # what came since

    rp_scale.JobScaler = Scaler


def return_copies() -> None:
    """Have each copy that the SDK makes of a reply (four or five) go back to the system once it is done with.

    glibc would keep ever larger blocks for itself after the first: 26 MB more for a reply of 13 MB.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def encodable(value: Any) -> Any:
    """The value without lone surrogates, which a caller's names and a node's texts can hold: the SDK's own encoding
    of the reply fails on one, and the job is never answered.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, (list, tuple)) else value


async def run_in_thread(event: dict[str, Any], work: Work) -> dict[str, Any]:
    """What a synchronous `work(report, cancelled)` returns; its progress goes to the queue, a cancel reaches it.

    A cancelled one has ended before this raises CancelledError.
    """
    cancelled = Event()
    async with Reporter(event) as reporter:
        running = asyncio.ensure_future(asyncio.to_thread(work, reporter.report, cancelled))
        try:
            answer: dict[str, Any] = encodable(await asyncio.shield(running))
            return answer
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([running])
            raise


class Reporter:
    """Sends a job's latest progress: in order, at most once a second, none once the context is left.

    The SDK's own progress_update starts a thread for each call: one can arrive after the result, and overwrite it.
    """

    INTERVAL = 1.0
    LAST_SEND = 5.0  # seconds that leaving the context waits for a send under way

    def __init__(self, event: dict[str, Any]) -> None:
        self._event = event
        self._latest: dict[str, Any] | None = None
        self._news, self._closed = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> "Reporter":
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed.set()
        self._news.set()
        await asyncio.wait([self._task], timeout=self.LAST_SEND)
        self._task.cancel()

    def report(self, progress: dict[str, Any]) -> None:
        """Note the progress; it is sent when its turn comes, unless a newer one overtakes it. For any thread."""
        self._loop.call_soon_threadsafe(self._note, encodable(progress))

    def _note(self, progress: dict[str, Any]) -> None:
        self._latest = progress
        self._news.set()

    async def _run(self) -> None:
        while not self._closed.is_set():
            await self._news.wait()
            self._news.clear()
            if self._latest and not self._closed.is_set():
                await send_progress(self._event, self._latest)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), self.INTERVAL)


async def send_progress(event: dict[str, Any], progress: dict[str, Any]) -> None:
    """Tell the queue, if there is one, and return once it knows."""
    if config.load().has_queue and config.load().progress:
        from runpod.http_client import AsyncClientSession
        from runpod.serverless.modules.rp_http import send_result

        async with AsyncClientSession() as session:
            await send_result(session, {"status": "IN_PROGRESS", "output": progress}, event)
