"""One holder at a time, however long it takes, and nobody waits for the dead."""

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
