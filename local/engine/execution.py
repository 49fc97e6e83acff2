"""Running one prompt: its nodes in order, what is cached, and how it ends."""

import traceback
from dataclasses import dataclass
from typing import Any

from local.engine.cache import Cache, Result, is_link, sign
from local.engine.folders import Folders
from local.engine.nodes import NODES, SAVERS
from local.engine.queue import Prompt
from local.engine.relay import relay
from local.engine.scenario import Faults, Forgotten, NodeFailure
from local.engine.schemas import JSON, Input, Schemas
from local.engine.sockets import Reporter
from local.engine.workbench import Interrupt, Interrupted, Sample, Workbench

ODD_OUTPUTS: JSON = {
    "odd 1": None,
    "odd 2": [{"filename": "a.png"}],
    "odd 3": {"images": [{"filename": None, "subfolder": "", "type": "output"}, None, 5, {}], "animated": True},
    "odd 4": {"images": None, "boxes": [[1, 2]], "value": 3.5},
    "odd 5": {"images": [{"filename": "../../gone.png", "subfolder": "/etc", "type": "elsewhere"}]},
}
"""As node packs have them: empty, a list, names that are null, values that are no files."""


class _NodeFault(Exception):
    """A node raised `cause`, or was interrupted, while it ran on `inputs`."""

    def __init__(self, node: str, inputs: JSON, cause: Exception) -> None:
        super().__init__(str(cause))
        self.node, self.inputs, self.cause = node, inputs, cause


@dataclass(frozen=True)
class Machine:
    """What all prompts run on."""

    schemas: Schemas
    folders: Folders
    faults: Faults
    interrupt: Interrupt


def execute(prompt: Prompt, report: Reporter, machine: Machine, cache: Cache) -> JSON:
    """Run the prompt; returns its outputs, meta and status for history; raises Forgotten."""
    machine.interrupt.clear()
    machine.faults.count_prompt()
    report.start()
    execution = _Execution(prompt, report, machine, cache)
    try:
        execution.run()
    except _NodeFault as fault:
        execution.report_fault(fault)
    else:
        report.succeed()
    finally:
        report.stop()
    return execution.history()


class _Execution:
    """One prompt as it runs."""

    def __init__(self, prompt: Prompt, report: Reporter, machine: Machine, cache: Cache) -> None:
        self._prompt, self._report, self._machine, self._cache = prompt, report, machine, cache
        self._graph = prompt.graph
        self._signatures = sign(self._graph, machine.folders)
        self._executed: list[str] = []
        self._shown: JSON = {}
        self._failed = False

    def run(self) -> None:
        """Run every node the outputs need and the cache does not have."""
        self._cache.keep(self._signatures)
        self._report.cached([node for node in self._graph if self._cached(node)])
        for node in self._order():
            cached = self._cached(node)
            if cached:
                self._show_cached(node, cached)
            else:
                self._run_node(node)
            self._report.leave(node)

    def history(self) -> JSON:
        """What history keeps beside the prompt itself."""
        meta = {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
            for node in self._shown
        }
        status = {
            "status_str": "error" if self._failed else "success",
            "completed": not self._failed,
            "messages": self._report.messages,
        }
        odd = ODD_OUTPUTS if self._machine.faults.scenario.odd_outputs else {}
        return {"outputs": {**self._shown, **odd}, "status": status, "meta": meta}

    def report_fault(self, fault: _NodeFault) -> None:
        """Say which node ended the prompt, and how."""
        self._failed = True
        details = {
            "node_id": fault.node,
            "node_type": self._graph[fault.node]["class_type"],
            "executed": list(self._executed),
        }
        if isinstance(fault.cause, Interrupted):
            self._report.interrupt(details)
            return
        self._report.fail(
            {
                **details,
                "exception_message": f"{fault.cause}\n",
                "exception_type": _type_name(fault.cause),
                "traceback": traceback.format_tb(fault.cause.__traceback__),
                "current_inputs": {name: [_plain(value)] for name, value in fault.inputs.items()},
                "current_outputs": list(self._graph),
            }
        )

    def _order(self) -> list[str]:
        """The output nodes and, each before whatever needs it, the uncached nodes they need."""
        order: dict[str, None] = {}

        def visit(node: str) -> None:
            if node in order:
                return
            if not self._cached(node):
                for above in self._links(node):
                    if not self._cached(above):
                        visit(above)
            order[node] = None

        for output in self._prompt.outputs:
            visit(output)
        return list(order)

    def _links(self, node: str) -> list[str]:
        given = self._graph[node]["inputs"]
        values = (given.get(entry.name) for entry in self._entries(node))
        return [value[0] for value in values if is_link(value)]

    def _entries(self, node: str) -> list[Input]:
        return self._machine.schemas.inputs(self._graph[node]["class_type"], self._graph[node]["inputs"])

    def _cached(self, node: str) -> Result | None:
        return self._cache.get(self._signatures[node])

    def _show_cached(self, node: str, cached: Result) -> None:
        self._report.output(node, cached.ui)
        if cached.ui:
            self._shown[node] = cached.ui

    def _run_node(self, node: str) -> None:
        self._report.enter(node)
        inputs: JSON = {}
        try:
            self._machine.interrupt.check()
            inputs = self._inputs(node)
            result = self._call(node, inputs)
        except Forgotten:
            raise
        except Exception as error:
            raise _NodeFault(node, inputs, error) from error
        self._cache.put(self._signatures[node], result)
        self._executed.append(node)
        if result.ui:
            self._shown[node] = result.ui
            self._report.output(node, result.ui)

    def _inputs(self, node: str) -> JSON:
        """The values of the inputs that the class has, links followed."""
        given = self._graph[node]["inputs"]
        return {entry.name: self._value(given[entry.name]) for entry in self._entries(node) if entry.name in given}

    def _value(self, value: Any) -> Any:
        if not is_link(value):
            return value
        result = self._cached(value[0])
        assert result is not None, "nodes run after those they need"
        return result.values[value[1]]

    def _call(self, node: str, inputs: JSON) -> Result:
        class_type = self._graph[node]["class_type"]
        self._machine.faults.strike(class_type)
        if self._machine.faults.hangs(class_type):
            self._machine.interrupt.hang(self._machine.faults.scenario.hang_deaf)
        bench = Workbench(self._machine.folders, self._sampling(node))
        ui = SAVERS[class_type](bench, **inputs) if class_type in SAVERS else None
        if class_type in NODES:
            return Result(NODES[class_type](bench, **inputs), ui)
        return Result(relay(self._entries(node), self._machine.schemas.outputs(class_type), inputs), ui)

    def _sampling(self, node: str) -> Sample:
        def take_steps(steps: int) -> None:
            for step in range(steps):
                self._machine.interrupt.pause(self._machine.faults.scenario.step_seconds)
                self._machine.interrupt.check()
                self._report.step(node, step + 1, steps)

        return take_steps


def _type_name(error: Exception) -> str:
    if isinstance(error, NodeFailure):
        return error.type_name
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)
