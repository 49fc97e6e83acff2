"""`python -m local.endpoint`: the endpoint as a process of its own."""

import argparse
import logging
import shlex
import signal
import sys
import threading

from local.endpoint.server import start

LOCAL_WORKER = {
    "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
    "RUNPOD_SKIP_GPU_CHECK": "true",
    "RUNPOD_LOG_LEVEL": "INFO",
}
"""Not the platform's: the SDK's own fitness checks end a worker on a machine without internet or GPU."""


def main() -> None:
    """Serve until interrupted; the worker's environment goes to standard output, the log to standard error."""
    parser = argparse.ArgumentParser(prog="python -m local.endpoint", description="A local RunPod endpoint (stand-in).")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one; default 8000")
    parser.add_argument("--host", default="localhost", help="default localhost")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        endpoint = start(arguments.port, arguments.host)
    except OSError as error:
        sys.exit(f"local.endpoint: {error.strerror or error}")
    for name, value in (endpoint.worker_environ() | LOCAL_WORKER).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()
    with endpoint:
        stop.wait()


if __name__ == "__main__":
    main()
