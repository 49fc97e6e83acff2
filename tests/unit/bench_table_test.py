"""The table of `make bench`: each other way beside this worker, with the ratio."""

from bench.__main__ import render


def test_a_line_has_both_figures_and_how_many_times_the_other_way_takes() -> None:
    lines = list(render(iter([("overhead", "ms", 40.0, "2 s poller", 1500.0), ("reply", "MB", 2.2, "/view", 6.6)])))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0][-1] == "ratio"
    assert rows[2:] == [
        ["overhead", "40.0 ms", "2 s poller", "1500 ms", "37.50"],
        ["reply", "2.20 MB", "/view", "6.60 MB", "3.00"],
    ]
