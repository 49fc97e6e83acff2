"""The SDK's job loop as worker/sdk.py amends it."""

import asyncio
import statistics
import time
from typing import Any

import pytest
from runpod.serverless.modules import rp_scale

from worker import sdk


def test_the_next_job_is_asked_for_as_soon_as_one_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rp_scale, "JobScaler", rp_scale.JobScaler)  # undone after this test
    sdk.amend_job_loop()
    scaler = rp_scale.JobScaler({"handler": None})
    asked, ended = [], []

    async def fetch(_session: Any, _needed: int) -> list[dict[str, Any]]:
        asked.append(time.monotonic())
        return [{"id": str(len(asked)), "input": {}}]

    async def work(_session: Any, _config: Any, _job: Any) -> None:
        await asyncio.sleep(0.3)
        ended.append(time.monotonic())
        if len(ended) == 6:
            scaler.kill_worker()

    async def run() -> None:
        scaler.jobs_fetcher, scaler.jobs_handler = fetch, work
        await asyncio.gather(scaler.get_jobs(None), scaler.run_jobs(None))

    asyncio.run(run())
    pauses = [start - end for end, start in zip(ended, asked[1:], strict=False)]
    assert (len(asked), len(pauses)) == (6, 5)  # none once it was told to end
    assert min(pauses) >= 0
    assert statistics.median(pauses) < 0.3  # the SDK's own: 0.6, as it looks again a second after the job began
