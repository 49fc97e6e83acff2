"""The SDK's job loop as worker/sdk.py amends it. How soon the next job is taken: bench.idle."""

import asyncio
from typing import Any

import pytest
from runpod.serverless.modules import rp_scale

from worker import sdk


def test_jobs_are_asked_for_one_after_the_other_and_none_once_it_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rp_scale, "JobScaler", rp_scale.JobScaler)  # undone after this test
    sdk.amend_job_loop()
    scaler = rp_scale.JobScaler({"handler": None})
    events = []

    async def fetch(_session: Any, _needed: int) -> list[dict[str, Any]]:
        events.append("asked")
        return [{"id": str(len(events)), "input": {}}]

    async def work(_session: Any, _config: Any, _job: Any) -> None:
        await asyncio.sleep(0.2)
        events.append("ended")
        if events.count("ended") == 3:
            scaler.kill_worker()

    async def run() -> None:
        scaler.jobs_fetcher, scaler.jobs_handler = fetch, work
        await asyncio.gather(scaler.get_jobs(None), scaler.run_jobs(None))

    asyncio.run(run())
    assert events == ["asked", "ended"] * 3
