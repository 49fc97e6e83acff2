"""The programs' options against the job's input that they make."""

import argparse
from typing import Any

import pytest

from client.arguments import FIELDS, add_job_options, read_job_input
from worker import config
from worker.input.request import Request, parse

SCHEMAS = Request.model_json_schema()["properties"]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_job_options(made)
    return made


def choices(schema: dict[str, Any]) -> list[str]:
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    return schema.get("enum") or ([schema["const"]] if "const" in schema else [])


def test_every_field_of_the_options_is_one_of_the_input() -> None:
    assert set(FIELDS) <= set(SCHEMAS)


@pytest.mark.parametrize(
    "action", [action for action in parser()._actions if action.dest in FIELDS], ids=lambda a: a.dest
)
def test_an_options_choices_are_the_inputs(action: argparse.Action) -> None:
    assert list(action.choices or []) == choices(SCHEMAS[action.dest])


def test_what_is_given_reaches_the_worker_and_what_is_left_out_is_the_workers_choice() -> None:
    given = read_job_input(
        parser().parse_args(["--preset", "quality", "--upscale", "1080p", "--fit", "pad", "--fps", "12"])
    )
    assert set(given) == {"image", "prompt", "preset", "upscale", "fit", "fps"}
    request = parse(given, config.read({}))
    assert (request.preset, request.steps, request.upscale, request.fit, request.fps) == (
        "quality",
        50,
        "1080p",
        "pad",
        12,
    )


def test_loras_are_given_by_name_with_or_without_a_strength() -> None:
    given = read_job_input(parser().parse_args(["--lora", "style", "--lora", "film/grain:-0.5"]))
    assert given["loras"] == [{"name": "style"}, {"name": "film/grain", "strength": -0.5}]
