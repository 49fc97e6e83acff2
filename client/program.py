"""How the programs end."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from client.errors import RunError


def run_to_exit_code(work: Callable[[], None]) -> int:
    """Do `work` and return 0; 1 after a RunError and 130 after Ctrl-C, each with one line on standard error."""
    program = Path(sys.argv[0]).name
    try:
        work()
    except RunError as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted; running jobs are canceled\n")
        return 130
    return 0


def treat_endings_as_ctrl_c() -> None:
    """Have SIGTERM and a closed terminal clean up as Ctrl-C does."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
