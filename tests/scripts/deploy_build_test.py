"""build_and_deploy.sh as a program: its questions, its checks, the build and the push."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scripts.deploy_world import OLD, Project, assert_died, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def test_an_image_is_built_and_pushed_under_its_version_and_commit(project: Project) -> None:
    done = project.run("--yes", "--accept-license", "--image", "me/worker")
    assert done.returncode == 0, done.stderr
    ref = f"me/worker:{project.default_tag}"
    login, build, push = project.changes
    assert login == "login"
    assert f"--platform linux/amd64 --load --tag {ref} " in build
    commit = project.git("rev-parse", "HEAD")
    assert build.endswith(f"--build-arg WORKER_VERSION=0.1.0 --build-arg WORKER_COMMIT={commit} .")
    assert push == f"push {ref}"
    assert done.stdout.endswith(f"done: {ref}\n")


def test_answers_come_from_the_terminal(project: Project) -> None:
    done = project.run(answers="registry.example:5000/me/worker\n1.2.3\n\n\nyes\n")
    assert done.returncode == 0, done.stderr
    ref = "registry.example:5000/me/worker:1.2.3"
    assert [project.changes[0], project.changes[-1]] == ["login registry.example:5000", f"push {ref}"]
    assert "European Union" in done.stdout


def test_answers_come_from_variables(project: Project) -> None:
    done = project.run(
        DEPLOY_IMAGE="localhost/worker", DEPLOY_TAG="7", DEPLOY_PUSH="no", DEPLOY_YES="yes", DEPLOY_ACCEPT_LICENSE="yes"
    )
    assert done.returncode == 0, done.stderr
    assert len(project.changes) == 1
    assert "--tag localhost/worker:7 " in project.changes[0]


def test_arguments_after_two_dashes_go_to_the_build(project: Project) -> None:
    assert (
        project.run("--yes", "--accept-license", "--image", "w", "--no-push", "--", "--build-arg", "A=b c").returncode
        == 0
    )
    assert project.changes[0].endswith("--build-arg A=b c .")


def test_yes_alone_does_not_confirm_the_license(project: Project) -> None:
    assert_died(project.run("--yes", "--image", "me/worker"), 1, "--accept-license")
    assert project.changes in ([], ["login"])


def test_a_dry_run_asks_nothing_and_shows_every_check_that_is_not_met(project: Project) -> None:
    (project.folder / "new").write_text("not committed")
    done = project.run("--dry-run", DOCKER_FAILS="version")
    assert_died(done, 1, "4 checks are not met")
    for word in ("--image", "commit", "docker does not answer", "--accept-license", "+ docker buildx build"):
        assert word in done.stdout
    assert project.changes == []


def test_a_no_to_the_licenses_territory_changes_nothing(project: Project) -> None:
    done = project.run("--image", "me/worker", "--no-push", answers="\nno\n")
    assert_died(done, 1, "stopped; nothing was changed")
    assert project.changes == []


def test_without_a_terminal_and_without_yes_it_says_which_option_is_missing(project: Project) -> None:
    assert_died(project.run(), 1, "give --image, or --yes")
    assert_died(project.run("--image", "w", "--tag", "1", "--no-push"), 1, "--yes")
    assert project.changes == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--image", "Me/Worker"], "lowercase"),
        (["--image", "me/worker:1.0"], "--tag"),
        (["--image", "registry.example:5000/me/worker:1.0"], "--tag"),
        (["--image", "me/worker@sha256:" + "a" * 64], "--deploy"),
        (["--image", "me//worker"], "not a valid name"),
        (["--image", "me/worker", "--tag", "latest"], "latest"),
        (["--image", "me/worker", "--tag", "a b"], "letters"),
        (["--image", "me/worker", "--no-push", "--endpoint", "ep1"], "--no-push"),
        (["--image"], "needs a value"),
        (["--deploy", OLD], "--endpoint"),
        (["--frobnicate"], "--frobnicate"),
        ([], "--image is missing"),
    ],
)
def test_wrong_usage_is_named_and_changes_nothing(project: Project, arguments: list[str], word: str) -> None:
    assert_died(project.run("--yes", "--accept-license", *arguments), 2, word)
    assert project.changes == []


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [
        ("version", 1, ["docker does not answer"]),
        ("buildx-version", 1, ["docker-buildx-plugin"]),
        ("login", 1, ["docker login registry.example"]),
        ("buildx-build", 3, ["the build failed", "docker: no"]),
        ("push", 4, ["the push of registry.example/me/worker:1 failed"]),
    ],
)
def test_each_failure_of_docker_has_its_exit_code(project: Project, fails: str, code: int, words: list[str]) -> None:
    done = project.run(
        "--yes", "--accept-license", "--image", "registry.example/me/worker", "--tag", "1", DOCKER_FAILS=fails
    )
    assert_died(done, code, *words)


def test_a_missing_docker_is_said(project: Project, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "sed", "git", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or "")
    assert_died(project.run("--yes", "--accept-license", "--image", "w", PATH=str(tools)), 1, "docker is not installed")


def test_a_full_disk_is_said_before_the_build(project: Project) -> None:
    assert_died(
        project.run("--yes", "--accept-license", "--image", "w", MIN_FREE_GB="999999999"), 1, "GB free", "999999999"
    )
    assert project.changes == []


def test_an_unclean_tree_is_refused(project: Project) -> None:
    (project.folder / "new.py").write_text("")
    assert_died(project.run("--yes", "--accept-license", "--image", "w"), 1, "git status")
    assert project.changes == []


def test_a_folder_without_a_commit_is_refused(project: Project) -> None:
    shutil.rmtree(project.folder / ".git")
    assert_died(
        project.run("--yes", "--accept-license", "--image", "w", GIT_CEILING_DIRECTORIES="/"), 1, "git checkout"
    )


def test_help_names_every_exit_code_and_variable(project: Project) -> None:
    done = project.run("--help")
    assert done.returncode == 0
    script = (project.folder / "build_and_deploy.sh").read_text()
    for name in ("DEPLOY_IMAGE", "MIN_FREE_GB", "ROLL_TIMEOUT", "ROLL_PAUSE", "JOB_TIMEOUT", "RUNPOD_API_BASE"):
        assert name in done.stdout
        assert script.count(name) > 1
    assert all(f"{code} " in done.stdout.partition("Exit codes")[2] for code in range(7))


def test_sourcing_the_script_runs_nothing(project: Project) -> None:
    command = "source ./build_and_deploy.sh && declare -F main"
    done = subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=project.environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "main\n")
    assert project.docker_calls == []
