"""What ComfyUI says of a fault, in an answer and in the log: of any length there, of a short one here."""

import tracemalloc
from pathlib import Path
from typing import Any

from tests.odd_comfyui import OddComfyUI, odd_comfyui
from worker.comfyui import ComfyUI, faults
from worker.graph import Graph

GRAPH = Graph({"1": {"class_type": "KSampler", "inputs": {}}})
LONG = "x" * 100_000


def test_a_nodes_message_is_cut() -> None:
    error = faults.failure({"node_id": "1", "exception_type": "ValueError", "exception_message": LONG}, GRAPH)
    assert len(error.message) < 500


def test_a_refusal_is_cut_and_names_some_of_many_choices() -> None:
    def fault(**more: Any) -> dict[str, Any]:
        return {"type": "value_not_in_list", "message": "Value not in list", "details": LONG, "extra_info": more}

    options = [f"model_{number}" for number in range(100)]
    found = [fault(input_name="sampler", input_config=[options, {}], received_value=LONG) for _ in range(200)]
    error = faults.rejection({"error": {}, "node_errors": {"1": {"errors": found, "class_type": "KSampler"}}}, GRAPH)
    assert len(error.message) < 2000
    assert "model_11 and 88 more" in error.details["nodes"][0]["reason"]
    assert "model_12" not in error.details["nodes"][0]["reason"]
    assert len(error.details["nodes"][0]["reason"]) < 700


def test_the_last_lines_of_a_log_are_few_and_short_and_cost_no_more_than_that(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{LONG}\n" * 200 + "".join(f"{number} {'y' * 900}\n" for number in range(100)))
    tracemalloc.start()
    lines = faults.read_last_lines(log)
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(85, 100)]
    assert {len(line) for line in lines} == {300}


def test_a_tracebacks_last_lines_are_logged() -> None:
    lines = faults.read_traceback({"traceback": [f"{number}\n" for number in range(1000)]})
    assert lines == [str(number) for number in range(960, 1000)]


def test_a_class_of_any_length_is_none_of_comfyuis() -> None:
    with odd_comfyui(OddComfyUI()) as comfyui:
        assert ComfyUI(comfyui.url).find_class(LONG) is None
