"""ComfyUI's process: ended where it hangs, so that whoever supervises it (builder.sh) starts it again."""

import logging
import os
import signal
from pathlib import Path

log = logging.getLogger(__name__)


def kill(pid_file: Path | None) -> bool:
    """Kill the ComfyUI whose process id the file holds; False where there is none, or it is not ComfyUI's."""
    if pid_file is None:
        return False
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        if pid <= 1 or b"main.py" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return False
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError, OverflowError) as error:
        log.warning("ComfyUI hangs and cannot be killed: %s", error)
        return False
    log.error("ComfyUI hung and was killed; it is started again")
    return True
