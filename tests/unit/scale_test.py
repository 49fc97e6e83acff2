"""bench/scale.py: the simulated endpoint beside queueing theory's closed forms, and its scalers case by case."""

import dataclasses
import math
import statistics

import pytest

from bench.scale import Clip, Endpoint, Load, Outcome, simulate, table

CLIP = 60.0
COUNT = 30_000
ALWAYS_ON = Endpoint(min=1, max=1, gap=0)


def outcome(endpoint: Endpoint, **load: float) -> Outcome:
    return simulate(endpoint, Load(clip=CLIP, **load).clips(COUNT, seed=1))


@pytest.mark.parametrize(("workers", "load"), [(1, 0.5), (1, 0.8), (4, 0.7), (20, 0.9)])
def test_waits_for_workers_that_are_always_on_are_those_of_erlang(workers: int, load: float) -> None:
    """M/M/c: the share of clips that wait is Erlang's C, and the waits are exponential."""
    found = outcome(Endpoint(min=workers, max=workers, gap=0), rate=load * workers * 3600 / CLIP, spread=1)
    offered = load * workers
    term = offered**workers / math.factorial(workers) / (1 - load)
    waiting = term / (sum(offered**n / math.factorial(n) for n in range(workers)) + term)
    decay = workers * (1 - load) / CLIP
    assert statistics.mean(found.waits) == pytest.approx(waiting / decay, rel=0.1)
    assert sum(wait > 0 for wait in found.waits) / COUNT == pytest.approx(waiting, rel=0.03)
    assert sum(wait > CLIP / 2 for wait in found.waits) / COUNT == pytest.approx(
        waiting * math.exp(-decay * CLIP / 2), rel=0.05
    )


@pytest.mark.parametrize("spread", [0, 0.5, 1.5])
def test_waits_grow_with_the_spread_of_the_clips_as_pollaczek_and_khinchine_say(spread: float) -> None:
    load = 0.6
    found = outcome(ALWAYS_ON, rate=load * 3600 / CLIP, spread=spread)
    expected = load * CLIP * (1 + spread**2) / (2 * (1 - load))
    assert statistics.mean(found.waits) == pytest.approx(expected, rel=0.07)


def test_waits_grow_with_the_bursts() -> None:
    """M^X/M/1 with geometric batches of mean b: the mean number in the system is load * b / (1 - load)."""
    load, burst = 0.5, 4.0
    found = outcome(ALWAYS_ON, rate=load * 3600 / CLIP, burst=burst, spread=1)
    assert statistics.mean(found.waits) == pytest.approx(CLIP * (burst / (1 - load) - 1), rel=0.05)


@pytest.mark.parametrize("idle", [0.0, 60.0, 300.0])
def test_one_worker_that_stops_when_idle_waits_and_costs_as_theory_has_it(idle: float) -> None:
    """M/G/1 with setup after an idle period longer than the timeout (Welch 1964, exceptional first service)."""
    load, boot = 0.5, 100.0
    arrivals = load / CLIP
    found = outcome(Endpoint(max=1, idle=idle, boot=boot, reboot=boot, gap=0), rate=arrivals * 3600, spread=1)
    asleep = math.exp(-arrivals * idle)
    mean, square = asleep * boot, asleep * boot**2
    queued = load * CLIP / (1 - load)
    setup = (2 * mean + arrivals * square) / (2 * (1 + arrivals * mean))
    assert statistics.mean(found.waits) == pytest.approx(queued + setup, rel=0.05)
    # A busy period begins with each clip that finds nothing to do; the worker is off only until the next one comes.
    cycle = (1 / arrivals + mean) / (1 - load)
    assert (found.cold + found.warm) / COUNT == pytest.approx(asleep / (arrivals * cycle), rel=0.03)
    assert found.billed * arrivals / COUNT == pytest.approx(1 - asleep / arrivals / cycle, rel=0.03)


def waits(endpoint: Endpoint, *clips: Clip) -> list[float]:
    return sorted(simulate(endpoint, clips).waits)


THREE = [Clip(0, 500)] * 3
BOOT_20 = Endpoint(max=5, boot=20)


def test_scaling_by_count_wants_a_worker_for_so_many_clips() -> None:
    assert waits(BOOT_20, *map(dataclasses.replace, THREE)) == [20, 20, 20]
    assert waits(dataclasses.replace(BOOT_20, value=2), *map(dataclasses.replace, THREE)) == [20, 20, 521]
    assert waits(dataclasses.replace(BOOT_20, max=1), *map(dataclasses.replace, THREE)) == [20, 521, 1022]


def test_scaling_by_delay_adds_the_first_worker_at_once_and_one_for_each_clip_that_waits_too_long() -> None:
    endpoint = dataclasses.replace(BOOT_20, scaler="delay", value=4)
    assert waits(endpoint, *map(dataclasses.replace, THREE)) == [20, 24, 24]
    short = [Clip(0, 1), Clip(21, 1), Clip(21, 1)]
    assert waits(endpoint, *short) == [0 + 1, 2 + 1, 20]
    assert simulate(endpoint, short).cold == 1


def test_a_worker_that_takes_two_clips_keeps_the_second_from_the_worker_that_is_started_for_it() -> None:
    endpoint = Endpoint(min=1, max=2, boot=20)
    two = [Clip(0, 60), Clip(0, 60)]
    assert waits(endpoint, *two) == [0, 20]
    assert waits(dataclasses.replace(endpoint, jobs=2), *two) == [0, 60]


def test_two_clips_at_once_spare_the_pause_between_them() -> None:
    two = [Clip(0, 60), Clip(0, 60)]
    assert waits(Endpoint(min=1, max=1, gap=3), *two) == [0, 63]
    assert waits(Endpoint(min=1, max=1, gap=3, jobs=2), *two) == [0, 60]


def test_a_host_keeps_the_models_for_a_while() -> None:
    endpoint = Endpoint(max=1, idle=10, boot=100, reboot=5, kept=50)
    found = simulate(endpoint, [Clip(0, 1), Clip(150, 1), Clip(300, 1)])
    assert (list(found.waits), found.cold, found.warm) == ([100, 5, 100], 2, 1)
    assert found.billed == (100 + 1 + 10) + (5 + 1 + 10) + (100 + 1)


def test_a_row_shows_what_tells_it_from_the_others() -> None:
    load = Load(rate=10)
    lines = list(table([(Endpoint(idle=5), load), (Endpoint(idle=600), load)], 500))
    assert lines[0].startswith("| idle | wait p50 s | wait p95 s |")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == ["5", "600"]
    assert float(rows[0][2]) > float(rows[1][2])
    assert float(rows[0][5]) < float(rows[1][5])
