"""The engine as a whole: its parts, its two threads, its beginning and end."""

import asyncio
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from local.engine.cache import Cache
from local.engine.execution import Machine, execute
from local.engine.folders import Folders
from local.engine.queue import Prompt, PromptQueue
from local.engine.routes import Routes
from local.engine.scenario import Faults, Forgotten, Scenario
from local.engine.schemas import JSON, Schemas
from local.engine.sockets import Reporter, Sockets
from local.engine.workbench import Interrupt

_WELL_BEHAVED = Scenario()
_PATIENCE = 2.0
"""Seconds that a saver in the middle of its files is waited for at the end."""


class Engine:
    """A running engine: one thread serves, another executes prompts. Close it, or use it as a context manager."""

    def __init__(
        self, listener: socket.socket, home: Path, scenario: Scenario, clean_up: Callable[[], None] | None = None
    ) -> None:
        """Serve on a listening socket, with input/, output/ and temp/ in `home`; `clean_up` is called at the end."""
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self.home = home
        self._listener = listener
        self._clean_up = clean_up
        self._folders = Folders(home)
        schemas = Schemas(self._folders, scenario.missing_models, scenario.missing_nodes, scenario.loras)
        self._machine = Machine(schemas, self._folders, Faults(scenario), Interrupt())
        self._queue = PromptQueue(lambda: self._sockets.send_status())  # noqa: PLW0108  made below
        self._sockets = Sockets(self._machine.faults, self._queue.remaining)
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._server = threading.Thread(target=self._serve, name="engine server", daemon=True)
        self._worker = threading.Thread(target=self._work, name="engine worker", daemon=True)
        self._server.start()
        self._worker.start()

    def close(self) -> None:
        """Stop what runs, close every connection, and end both threads."""
        self._machine.interrupt.close()
        self._queue.close()
        self._worker.join(timeout=_PATIENCE)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)
        self._server.join()
        if self._clean_up:
            self._clean_up()

    def wait(self) -> None:
        """Return when the engine has ended."""
        self._server.join()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _serve(self) -> None:
        with self._listener:
            self._loop.run_until_complete(self._serve_until_the_end())
        self._loop.close()

    async def _serve_until_the_end(self) -> None:
        application = Routes(self._machine, self._queue, self._sockets).application()
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        publisher = asyncio.create_task(self._sockets.publish())
        await self._ending.wait()
        publisher.cancel()
        await self._sockets.close()
        await runner.cleanup()

    def _work(self) -> None:
        cache = Cache()
        while not self._queue.closed:
            prompt = self._queue.take()
            if prompt:
                self._run(prompt, cache)
            if self._queue.take_request_to_free():
                cache = Cache()

    def _run(self, prompt: Prompt, cache: Cache) -> None:
        scenario = self._machine.faults.scenario
        report = Reporter(prompt, self._sockets, scenario.lie)
        try:
            outcome = execute(prompt, report, self._machine, cache)
        except Forgotten:
            return self._queue.finish(prompt, None)
        self._machine.interrupt.pause(scenario.history_delay)
        if scenario.vanish_output:
            self._remove_files(outcome)
        self._queue.finish(prompt, outcome)
        return report.end()

    def _remove_files(self, outcome: JSON) -> None:
        for ui in outcome["outputs"].values():
            for file in ui.get("images", []):
                self._folders.view(file["filename"], file["type"], file["subfolder"]).unlink(missing_ok=True)


def start(
    port: int = 0, host: str = "127.0.0.1", home: Path | None = None, scenario: Scenario = _WELL_BEHAVED
) -> Engine:
    """Start an engine; port 0 takes a free one, no home means a temporary one. Raises OSError if the port is taken."""
    listener = socket.create_server((host, port))
    if home is not None:
        return Engine(listener, home, scenario)
    temporary = tempfile.TemporaryDirectory(prefix="preview-engine-", ignore_cleanup_errors=True)
    return Engine(listener, Path(temporary.name), scenario, temporary.cleanup)
