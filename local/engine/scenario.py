"""How an engine misbehaves on purpose, as data; without a scenario it behaves as ComfyUI 0.33.0 does."""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Scenario:
    """Times in seconds; node faults name a class_type and strike when a node of that class is about to run."""

    step_seconds: float = 0.05
    """How long one sampling step takes."""

    slow: float = 0.0
    """Every HTTP answer is held back this long."""
    status_500: Mapping[str, int] = field(default_factory=dict)
    """Path -> how many requests to it or below it, from the first, are answered 500."""
    lost_interrupts: int = 0
    """This many interrupts, from the first, are answered 200 and have no effect."""
    missing_models: tuple[str, ...] = ()
    """Model files left out of every list, as if they were not on the disk."""
    loras: tuple[str, ...] = ()
    """LoRAs that are listed: the engine has none of its own."""
    missing_nodes: tuple[str, ...] = ()
    """Node classes that do not exist: without SaveFrames it is a ComfyUI that lacks the worker's own nodes."""

    refuse_ws: bool = False
    """The websocket's handshake is answered 503."""
    silent_socket: bool = False
    """Sockets get the status that greets them and nothing after it, and stay open."""
    duplicate_messages: bool = False
    """Every websocket message is sent twice."""
    drop_socket_after: int | None = None
    """A socket is cut, without a closing frame, after this many messages."""
    dropped_sockets: int = 1
    """How many sockets, from the first, drop_socket_after cuts."""
    lie: Literal["", "early", "failure"] = ""
    """"early": success is announced when the first node starts. "failure": a failure is announced as success."""

    fail_at: str = ""
    """The node raises an exception of fail_type with fail_message."""
    fail_type: str = "torch.OutOfMemoryError"
    fail_message: str = "Allocation on device 0 would exceed allowed memory. (out of memory)"
    hang_at: str = ""
    """The node never finishes; an interrupt ends it."""
    hang_deaf: bool = False
    """... and no interrupt does."""
    die_at: str = ""
    """The process exits at once with status 1; only for an engine that runs as its own process."""
    forget_at: str = ""
    """The prompt vanishes from queue and history, as after a restart, and no more is heard of it."""
    faulty_prompts: int | None = None
    """How many prompts, from the first, suffer the node faults; None: all."""

    history_delay: float = 0.0
    """How long after the last websocket message about the nodes the history entry appears."""
    odd_outputs: bool = False
    """History has, beside what the nodes made, outputs of nodes that shape them oddly."""
    vanish_output: bool = False
    """Files in output/ are gone before history names them."""

    @classmethod
    def from_json(cls, text: str) -> "Scenario":
        """Read an object of the fields above; raises TypeError for an unknown one, ValueError for bad JSON."""
        values: dict[str, Any] = json.loads(text)
        for name in ("missing_models", "loras", "missing_nodes"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


class NodeFailure(Exception):
    """An exception that shows in the protocol under a type of the scenario's choice."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name


class Forgotten(Exception):
    """The prompt is to vanish without a trace."""


class Faults:
    """A scenario at work: counts down what is to happen only so many times. Safe to ask from any thread."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._lock = threading.Lock()
        self._left = {f"500 {path}": count for path, count in scenario.status_500.items()}
        self._left["interrupt"] = scenario.lost_interrupts
        self._left["drop"] = scenario.dropped_sockets if scenario.drop_socket_after is not None else 0
        self._prompts = 0

    def refuses(self, path: str) -> bool:
        """Whether this request is to be answered 500."""
        paths = [known for known in self.scenario.status_500 if path == known or path.startswith(f"{known}/")]
        return any(self._take(f"500 {known}") for known in paths)

    def loses_interrupt(self) -> bool:
        """Whether this interrupt is to have no effect."""
        return self._take("interrupt")

    def socket_life(self) -> int | None:
        """How many messages a new socket gets before it is cut; None: it is not."""
        return self.scenario.drop_socket_after if self._take("drop") else None

    def count_prompt(self) -> None:
        """Note that the next prompt starts."""
        self._prompts += 1

    def hangs(self, class_type: str) -> bool:
        """Whether a node of this class never finishes."""
        return self._strikes(self.scenario.hang_at, class_type)

    def strike(self, class_type: str) -> None:
        """Do what the scenario has for a node of this class: exit, raise Forgotten or NodeFailure, or nothing."""
        if self._strikes(self.scenario.die_at, class_type):
            os._exit(1)
        if self._strikes(self.scenario.forget_at, class_type):
            raise Forgotten
        if self._strikes(self.scenario.fail_at, class_type):
            raise NodeFailure(self.scenario.fail_type, self.scenario.fail_message)

    def _strikes(self, target: str, class_type: str) -> bool:
        limit = self.scenario.faulty_prompts
        return target == class_type and (limit is None or self._prompts <= limit)

    def _take(self, name: str) -> bool:
        with self._lock:
            left = self._left.get(name, 0)
            self._left[name] = max(0, left - 1)
        return left > 0
