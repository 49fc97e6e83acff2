"""Running a prompt: waiting for ComfyUI, following it to the prompt's end, and making it end."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.comfyui import faults, process
from worker.comfyui.client import ComfyUI, Outcome, Prompt, Refused
from worker.comfyui.events import Event, Events
from worker.comfyui.folders import Scope
from worker.comfyui.outputs import Outputs
from worker.comfyui.progress import Progress
from worker.errors import ComfyUIUnavailable, JobCancelled, JobTimeout, OutOfMemory, WorkerError

log = logging.getLogger(__name__)

TICK = 0.1  # seconds at most until a cancel or a deadline is seen
CHECK = 1.0  # seconds between looks at history while the socket says nothing final
EAGER = 1.0  # seconds of close looks after it does: history follows up to 0.4 s later
EAGER_TICK = 0.005
PATIENCE = 45.0  # seconds without one good answer, all refusals apart, until ComfyUI counts as hung
IDLE = 5.0  # seconds that a prompt may wait while nothing runs, until ComfyUI's own thread counts as dead
LAST_EVENTS = 0.05  # seconds without an event until a prompt that is stopped has told all
DEATH = 1.0  # the same while it refuses every connection


class Hung(ComfyUIUnavailable):
    """ComfyUI's process is there and does nothing: asking it to stop is of no use."""


@dataclass(frozen=True)
class Limits:
    """When to give up on a prompt."""

    deadline: float
    """time.monotonic() by which it must have ended"""
    stall: float
    """seconds it may run without a sign of work"""
    stop: float
    """seconds that ComfyUI may take to let go of it"""
    cancelled: threading.Event
    pid_file: Path | None = None
    """Has the process id of a ComfyUI that is started again when it is killed; None: it is not to be killed"""

    def check(self) -> None:
        """Raise JobCancelled, or JobTimeout once the deadline has passed: for what comes before the prompt."""
        self.check_cancelled()
        if time.monotonic() > self.deadline:
            raise JobTimeout(
                "the job passed its deadline (JOB_TIMEOUT) before ComfyUI had it; send it again, or raise it"
            )

    def check_cancelled(self) -> None:
        """Raise JobCancelled once the platform took the job back."""
        if self.cancelled.is_set():
            raise JobCancelled("the platform cancelled the job")


def wait_for_answer(
    comfyui: ComfyUI, timeout: float, check: Callable[[], None], pid_file: Path | None = None
) -> Mapping[str, Any]:
    """ComfyUI's stats as soon as it answers: one that died is started again and needs some seconds.

    One that takes connections and answers none, or only errors, for PATIENCE is killed by its `pid_file`. Raises
    ComfyUIUnavailable, with the wish for a new worker, after `timeout` seconds (COMFYUI_BOOT_TIMEOUT), and what `check`
    raises.
    """
    end = time.monotonic() + timeout
    refused = time.monotonic()
    while True:
        try:
            return comfyui.stats()
        except ComfyUIUnavailable as error:
            now = time.monotonic()
            if now > end:
                raise ComfyUIUnavailable(f"{error.message} within {timeout:.0f} s", refresh_worker=True) from error
            if isinstance(error, Refused) or (now - refused > PATIENCE and process.kill(pid_file)):
                refused = now
            log.debug("waiting for ComfyUI: %s", error.message)
        check()
        time.sleep(TICK)


def execute(
    comfyui: ComfyUI,
    prompt: Prompt,
    limits: Limits,
    scope: Scope,
    report: Callable[[dict[str, Any]], None],
) -> Outputs:
    """Run the prompt to its end and return what it made; `report` takes the progress.

    If it must be given up, ComfyUI is idle again afterwards, or killed, or the error says `refresh_worker`, the SDK's
    word for a worker that is to be replaced. Raises WorkflowRejected, ModelMissing and what `follow` raises.
    """
    progress, client_id = Progress(prompt.graph), uuid.uuid4().hex

    def note(event: Event) -> None:
        scope.own(event.files)  # history has no files of a prompt that fails
        if news := progress.update(event):
            # Clients of worker-comfyui (SillyTavern) look for images[0] in whatever output there is.
            report(news if prompt.graph.own else {**news, "images": []})

    with Events(comfyui.url, client_id) as events:
        try:
            comfyui.queue(prompt, client_id)
            log.info("queued as prompt %s: %d nodes", prompt.id, len(prompt.graph.nodes))
            made = follow(comfyui, events, prompt, limits, note)
        except BaseException as error:
            stopped = stop(comfyui, prompt.id, 0 if isinstance(error, Hung) else limits.stop)
            stopped = stopped or process.kill(limits.pid_file)
            while stopped and (event := events.next(prompt.id, LAST_EVENTS)):
                scope.own(event.files)
            if isinstance(error, OutOfMemory):
                _free(comfyui)
            if isinstance(error, WorkerError) and not stopped:
                raise error.adding(refresh_worker=True) from error
            raise
    scope.own(made.files)
    return made


def follow(
    comfyui: ComfyUI, events: Events, prompt: Prompt, limits: Limits, on_event: Callable[[Event], None]
) -> Outputs:
    """Wait for the prompt's end and return what it made, files in `temp` included.

    Progress comes from the socket, the truth from history, so a socket that drops, falls silent or lies costs time at
    most. Raises ExecutionFailed, JobCancelled, JobTimeout, or ComfyUIUnavailable when ComfyUI dies or forgets it.
    """
    watch = _Watch(comfyui, prompt.id, limits)
    while True:
        event = events.next(prompt.id, EAGER_TICK if watch.eager else TICK)
        if event:
            watch.note(event)
            on_event(event)
            if event.kind == "ending":
                continue  # history follows with the next message: a look now would only be in its way
        if watch.due(events.connected) and (outcome := watch.look()):
            return _outputs(outcome, prompt)
        watch.check_limits()


def stop(comfyui: ComfyUI, prompt_id: str, timeout: float) -> bool:
    """Interrupt the prompt until ComfyUI no longer has it; False when it may still have it after `timeout` seconds.

    Once is not enough: an interrupt sent right after the prompt was queued is lost now and then.
    """
    end = time.monotonic() + timeout
    pause = 0.05
    while True:
        try:
            if not comfyui.place(prompt_id).somewhere:
                return True
            comfyui.interrupt(prompt_id)
        except Refused:
            return True  # a dead ComfyUI runs nothing
        except ComfyUIUnavailable as error:
            log.info("while stopping the prompt: %s", error.message)
        if time.monotonic() > end:
            log.error("ComfyUI still has prompt %s after %.0f s of interrupts (STOP_TIMEOUT)", prompt_id, timeout)
            return False
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _free(comfyui: ComfyUI) -> None:
    """Empty the GPU's memory for the next job."""
    try:
        comfyui.free()
    except ComfyUIUnavailable as error:
        log.warning("ComfyUI's memory was not freed: %s", error.message)


class _Watch:
    """What is known of a prompt that has not ended yet, and when to look again."""

    def __init__(self, comfyui: ComfyUI, prompt_id: str, limits: Limits) -> None:
        self._comfyui, self._prompt_id, self._limits = comfyui, prompt_id, limits
        self._answered = self._moved = time.monotonic()
        self._next_look = self._answered + CHECK
        self._eager_until = 0.0
        self._pending = False
        self._idle_since: float | None = None

    @property
    def eager(self) -> bool:
        return time.monotonic() < self._eager_until

    def note(self, event: Event) -> None:
        """A sign of work; a final one makes the next looks come at once."""
        self._moved, self._pending = time.monotonic(), False
        if event.kind in {"ending", "ended"} and not self._eager_until:
            self._eager_until = self._moved + EAGER

    def due(self, connected: bool) -> bool:
        return self.eager or not connected or time.monotonic() >= self._next_look

    def look(self) -> Outcome | None:
        """Ask history; None while the prompt is under way, or while ComfyUI fails to answer but may recover."""
        self._next_look = time.monotonic() + CHECK
        try:
            outcome = self._comfyui.outcome(self._prompt_id)
            lost = outcome is None and not self.eager and not self._queued()
            if lost:  # it leaves the queue and enters history in one step: gone from one, it must be in the other
                outcome = self._comfyui.outcome(self._prompt_id)
        except Hung:
            raise
        except ComfyUIUnavailable as error:
            self._bear(error)
            return None
        self._answered = time.monotonic()
        if lost and outcome is None:
            raise ComfyUIUnavailable(
                "ComfyUI was restarted while it had the job, and no longer knows it; send it again"
            )
        return outcome

    def _queued(self) -> bool:
        place = self._comfyui.place(self._prompt_id)
        self._pending = place.pending
        self._idle_since = (self._idle_since or time.monotonic()) if place.pending and place.idle else None
        if self._idle_since and time.monotonic() - self._idle_since > IDLE:
            raise Hung("ComfyUI no longer takes prompts from its queue; send the job again")
        if self._pending:
            self._moved = time.monotonic()  # waiting behind another prompt is not a stall
        return place.somewhere

    def _bear(self, error: ComfyUIUnavailable) -> None:
        silence = time.monotonic() - self._answered
        if isinstance(error, Refused) and silence > DEATH:
            raise ComfyUIUnavailable(f"ComfyUI died during the job: {error.message}; send it again") from error
        if silence > PATIENCE:
            raise Hung(f"ComfyUI hung during the job: {error.message}; send it again") from error

    def check_limits(self) -> None:
        """Raise when the job is cancelled, its deadline has passed, or nothing moves."""
        now = time.monotonic()
        self._limits.check_cancelled()
        if now > self._limits.deadline:
            raise JobTimeout(f"the job passed its deadline (JOB_TIMEOUT); {self._overrun_advice()}")
        if now - self._moved > self._limits.stall:
            raise JobTimeout(
                f"ComfyUI showed no sign of work for {self._limits.stall:.0f} s (STALL_TIMEOUT); send the job again"
            )

    def _overrun_advice(self) -> str:
        # The deadline counts from the job's start although it waited: so does the platform's own.
        if self._pending:
            return "it still waited behind another prompt; send it again, or lower WORKER_CONCURRENCY"
        return "ask for fewer num_frames or steps, or raise it"


def _outputs(outcome: Outcome, prompt: Prompt) -> Outputs:
    if outcome.error is not None:
        for line in faults.read_traceback(outcome.error):
            log.warning("ComfyUI's traceback: %s", line)
        raise faults.failure(outcome.error, prompt.graph)
    if outcome.interrupted:
        raise faults.interruption(prompt.id)
    return outcome.outputs
