"""What a caller sent can be part of a log line, and never one of its own."""

import logging
import subprocess
import sys

import pytest

from worker import logs

HOSTILE = [
    "x\n2026-11-25 INFO - handler: Status: success",
    "x\r\nStatus: success",
    "x\x1b[2K\x1b[1AStatus: success",
    "x\u2028Status: success",
    "x\x85Status: success",
    "\ud800",
    "y" * 100_000,
]


def lines_of(script: str, *arguments: str) -> list[str]:
    """What a process of its own logs."""
    code = f"import logging, sys; from worker import logs; logs.setup('INFO'); log = logging.getLogger('a')\n{script}"
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\ud800" not in text], ids=ascii)
@pytest.mark.parametrize("where", ["log.info('got %s', text)", "log.info(text)"])
def test_a_text_makes_one_line_of_bounded_length(text: str, where: str) -> None:
    (line,) = lines_of(f"text = {text!r}\n{where}")
    assert line.isprintable()
    assert len(line) < 3 * logs.LONGEST


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\ud800" not in text], ids=ascii)
def test_a_jobs_id_makes_no_line(text: str) -> None:
    (line,) = lines_of(f"with logs.job_context({text!r}):\n    log.info('got it')")
    assert line.endswith("a: got it")
    assert len(line) < 300


def test_an_exception_with_a_callers_text_is_told_in_indented_lines_with_its_places() -> None:
    script = "\n".join(
        [
            "def inner(): raise ValueError('secret\\nStatus: success')",
            "try:",
            "    try: inner()",
            "    except ValueError as error: raise RuntimeError('outer') from error",
            "except RuntimeError: log.exception('it failed')",
        ]
    )
    first, *others = lines_of(script)
    assert first.endswith("a: it failed")
    assert [line[:4] for line in others] == ["    ", "    "]
    assert "RuntimeError: outer (" in others[0]
    assert "ValueError: secret\\nStatus: success (<string>:" in others[1]


def test_a_thousand_causes_are_some_lines() -> None:
    script = "def fall(n):\n    try: n and fall(n - 1); 1 / 0\n    except Exception as e: raise ValueError(n) from e\n"
    assert len(lines_of(f"{script}try: fall(200)\nexcept Exception: log.exception('it failed')")) < 30


@pytest.mark.parametrize(
    "text",
    [
        "https://user:HIDDEN@host.example/a.png",
        "https://host.example/a.png?X-Amz-Signature=HIDDEN&b=c",
        "https://host.example/#HIDDEN",
        "with url: /a.png?token=HIDDEN (Caused by x)",
        "HTTPS://HIDDEN@host.example",
    ],
)
def test_what_opens_something_is_left_out_of_urls(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert "HIDDEN" not in logs.one_line(text, 200)
    assert "HIDDEN" not in logs.brief(ValueError(text))
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "%s", (text,), None)
    record.job_id = "-"
    assert "HIDDEN" not in logs._Formatter("%(message)s").format(record)


def test_an_exceptions_text_is_cut() -> None:
    assert len(logs.brief(ValueError("y" * 100_000))) < 2 * logs.SHOWN_TEXT


def test_an_exception_whose_text_fails_is_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert logs.brief(Mute()).startswith("Mute: ?")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("abcde", "abcde"),
        ("abcdef", "abcd…"),
        ("a\nb", "a\\nb"),
        ("\x1b", "\\x1b"),
        ("\ud800", "\\ud800"),
        ("é猫", "é猫"),
    ],
)
def test_a_text_is_cut_to_its_length_and_only_what_controls_is_escaped(text: str, line: str) -> None:
    assert logs.one_line(text, 5) == line


def test_an_exception_from_deep_down_is_one_line_of_bounded_length() -> None:
    def raise_at(depth: int) -> None:
        if depth:
            raise_at(depth - 1)
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="x") as caught:
        raise_at(200)
    text = logs.brief(caught.value)
    assert len(text) < 600
    assert text.count(".py:") == 6
