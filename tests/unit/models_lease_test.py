"""One holder at a time, however long it takes, and nobody waits for the dead."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.models.lease import hold


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
