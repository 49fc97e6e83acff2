"""build_and_deploy.sh as a program: rolling an endpoint over, proving it, and the ways it fails."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.errors import RunError
from client.management import ManagementAPI, is_settled
from tests.scripts.deploy_world import KEY, OLD, Platform, Project, assert_died, make_project, served, worker


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def project(tmp_path: Path, platform: Platform) -> Iterator[Project]:
    with served(platform) as address:
        yield make_project(tmp_path, address)


def test_the_endpoint_is_rolled_over_and_proven_with_one_job_and_the_key_is_seen_nowhere(
    project: Project, platform: Platform
) -> None:
    platform.refusals = [429, 503]
    done = project.run("--yes", "--accept-license", "--image", "me/worker", "--endpoint", "ep1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert platform.image == f"me/worker:{project.default_tag}"
    assert {item["image"] for item in platform.workers} == {platform.image}
    assert platform.calls[-1] == "POST /jobs/ep1/runsync?wait=1000"
    assert f"./build_and_deploy.sh --endpoint ep1 --deploy {OLD}" in done.stdout
    assert len(list((project.folder / "outputs").glob("*/frame*.png"))) == 5
    assert KEY not in done.stdout + done.stderr + "\n".join(project.docker_calls)
    assert "client.management" in platform.processes
    assert KEY not in platform.processes


def test_deploy_rolls_to_a_pushed_image_and_builds_nothing(project: Project, platform: Platform) -> None:
    digest = "me/worker@sha256:" + "a" * 64
    done = project.run("--yes", "--accept-license", "--endpoint", "ep1", "--deploy", digest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert platform.image == digest
    assert project.docker_calls == [f"buildx imagetools inspect {digest}"]


def test_an_image_that_the_registry_does_not_have_is_refused_before_the_endpoint_is_touched(
    project: Project, platform: Platform
) -> None:
    done = project.run(
        *("--yes", "--accept-license", "--endpoint", "ep1", "--deploy", "me/worker:none"),
        DOCKER_FAILS="buildx-imagetools",
    )
    assert_died(done, 1, "the registry does not show me/worker:none")
    assert platform.image == OLD


def test_a_refusal_of_the_api_ends_it_before_the_build(project: Project, platform: Platform) -> None:
    platform.refusals = [404]
    done = project.run("--yes", "--accept-license", "--image", "w", "--endpoint", "ep1")
    assert_died(done, 1, "HTTP 404", "check the endpoint's id", "nothing was changed")
    assert project.changes == ["login"]


@pytest.mark.parametrize(
    ("refusal", "calls", "advice"),
    [(401, 1, "RUNPOD_API_KEY"), (403, 1, "access"), (422, 1, "the test says so"), (429, 6, "wait"), (500, 6, "500")],
)
def test_what_may_pass_is_tried_again_and_each_refusal_says_what_to_do(
    platform: Platform, refusal: int, calls: int, advice: str
) -> None:
    platform.refusals, platform.forever = [refusal], True
    with served(platform) as address, pytest.raises(RunError, match=f"HTTP {refusal}.*{advice}|{advice}.*{refusal}"):
        ManagementAPI(f"{address}/v2", "ep1", KEY, pause=0).set_image("new")
    assert len(platform.calls) == calls


def test_no_answer_at_all_is_said(platform: Platform) -> None:
    with served(platform) as address:
        pass
    with pytest.raises(RunError, match="check the network"):
        ManagementAPI(address, "ep1", KEY, pause=0).endpoint()


def test_a_missing_key_ends_it_before_the_build(project: Project, platform: Platform) -> None:
    assert_died(
        project.run("--yes", "--accept-license", "--image", "w", "--endpoint", "ep1", RUNPOD_API_KEY=""),
        1,
        "RUNPOD_API_KEY",
    )
    assert platform.calls == []


def test_an_endpoint_that_may_run_no_worker_is_refused(project: Project, platform: Platform) -> None:
    platform.most_workers = 0
    assert_died(project.run("--yes", "--accept-license", "--image", "w", "--endpoint", "ep1"), 1, "runs no job")


def test_a_name_that_the_endpoint_runs_already_is_refused(project: Project, platform: Platform) -> None:
    done = project.run(
        "--yes", "--accept-license", "--image", "me/worker", "--tag", "0.0.9-aaaaaaa", "--endpoint", "ep1"
    )
    assert_died(done, 1, "another --tag")
    assert platform.calls == ["GET /v2/serverless/ep1"]


def test_workers_that_never_roll_end_it_with_the_way_back(project: Project, platform: Platform) -> None:
    platform.looks_until_rolled = 10**9
    done = project.run("--yes", "--accept-license", "--endpoint", "ep1", "--deploy", "me/worker:2", ROLL_TIMEOUT="0.1")
    assert_died(done, 5, "0 of 2 workers run the new image", f"--endpoint ep1 --deploy {OLD}")
    assert not any("runsync" in call for call in platform.calls)


def test_a_failed_job_ends_it_with_the_way_back(project: Project, platform: Platform) -> None:
    platform.failing_job = True
    done = project.run("--yes", "--accept-license", "--endpoint", "ep1", "--deploy", "me/worker:2")
    assert_died(done, 6, "out_of_memory", f"--endpoint ep1 --deploy {OLD}")


def test_a_dry_run_shows_every_command_and_changes_nothing(project: Project, platform: Platform) -> None:
    done = project.run("--yes", "--accept-license", "--dry-run", "--image", "me/worker", "--endpoint", "ep1")
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line)[1:] for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert [command[:2] for command in commands[:2]] == [["docker", "buildx"], ["docker", "push"]]
    assert commands[2][-3:] == ["roll", "ep1", f"me/worker:{project.default_tag}"]
    assert commands[3][1:3] == ["test_runpod_local.py", "sync"]
    assert project.changes == []
    assert platform.calls == ["GET /v2/serverless/ep1"]
    assert project.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("workers", "minimum", "settled"),
    [
        ([worker("new", "IDLE")], 1, True),
        ([worker("new", "INITIALIZING")], 0, False),
        ([worker("new", "UNHEALTHY"), worker(None, "THROTTLED")], 0, False),
        ([worker("new"), worker("old")], 0, False),
        ([worker("new"), worker("new", stale=True)], 0, False),
        ([], 0, True),
        ([], 1, False),
    ],
)
def test_a_roll_is_over_when_no_worker_is_old_and_one_is_ready(
    workers: list[dict[str, Any]], minimum: int, settled: bool
) -> None:
    assert is_settled(workers, "new", minimum) is settled
