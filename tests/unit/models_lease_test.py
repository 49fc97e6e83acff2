"""One holder at a time, however long it takes, and nobody waits for the dead."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers import wait_until
from worker.models import lease
from worker.models.lease import hold


def replace(path: Path, owner: str) -> None:
    """Take a lease over as another machine would."""
    other = path.with_name(owner)
    other.write_text(owner)
    other.replace(path)


def test_a_lease_of_a_worker_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "model.lease"
    path.write_text("gone")
    start = time.monotonic()
    with hold(path, beat=0.05, stale=0.3):
        assert time.monotonic() - start >= 0.3
        assert path.exists()
    assert not list(tmp_path.iterdir())


def test_a_lease_that_is_kept_is_waited_for_however_long_it_takes(tmp_path: Path) -> None:
    path, order = tmp_path / "model.lease", []

    def hold_second() -> None:
        with hold(path, beat=0.05, stale=0.2):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with hold(path, beat=0.05, stale=0.2):
            second = pool.submit(hold_second)
            time.sleep(0.8)
            order.append("first")
        second.result()
    assert order == ["first", "second"]


def test_a_lease_that_another_has_taken_over_meanwhile_is_that_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.lease"
    with hold(path, beat=0.05, stale=0.3):
        replace(path, "thief")
        os.utime(path, (1, 1))
        time.sleep(0.3)
        assert path.stat().st_mtime == 1  # it is not kept alive, either
    assert path.read_text() == "thief"


def test_of_two_that_take_over_an_abandoned_lease_the_last_one_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "model.lease"
    path.write_text("gone")

    def hold_it() -> float:
        with hold(path, beat=0.5, stale=0.3):
            return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hold_it)
        wait_until(lambda: path.read_text() not in {"gone", ""})
        replace(path, "second")
        for _ in range(10):  # for as long as it lives
            time.sleep(0.1)
            path.touch()
            assert not first.done()
        ended = time.monotonic()
        path.unlink()
        assert first.result(timeout=10) >= ended


@pytest.mark.parametrize(
    ("touched", "waits", "abandoned"),
    [({}, 3, True), ({2: (2, 2)}, 5, True), ({1: None}, 1, False), ({0: None}, 0, False)],
)
def test_a_lease_is_looked_at_five_times_a_beat_until_it_is_stale_or_free(
    touched: dict[int, tuple[int, int] | None], waits: int, abandoned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    state: list[tuple[int, int] | None] = [(1, 1)]

    def look(_: Path) -> tuple[int, int] | None:
        state.append(touched.get(len(slept), state[-1]))
        return state[-1]

    clock = SimpleNamespace(sleep=slept.append, monotonic=lambda: sum(slept))
    monkeypatch.setattr(lease, "time", clock)
    monkeypatch.setattr(lease, "_touched", look)
    assert lease._is_abandoned(Path("a.lease"), beat=5, stale=3) is abandoned
    assert slept == [1] * waits


def start_holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lease until it is killed."""
    program = (
        "import pathlib, sys, time\n"
        "from worker.models.lease import hold\n"
        "with hold(pathlib.Path(sys.argv[1]), beat=0.05, stale=0.6):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_lease_of_another_process_is_free_once_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "model.lease"

    def hold_next() -> float:
        with hold(path, beat=0.05, stale=0.6):
            return time.monotonic()

    with start_holder(path) as holder, ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(hold_next)
        time.sleep(1.5)  # well past `stale`: the holder lives, so the lease is its own
        assert not waiter.done()
        killed = time.monotonic()
        holder.kill()
        assert waiter.result(timeout=10) >= killed + 0.5
    assert not list(tmp_path.iterdir())
