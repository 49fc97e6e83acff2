"""`python -m local.engine`: the preview engine as a process of its own."""

import argparse
import sys
from pathlib import Path

from local.engine.engine import start
from local.engine.scenario import Scenario


def main() -> int:
    """Serve until killed or interrupted."""
    options = _parser().parse_args()
    scenario = Scenario.from_json(options.scenario)
    with start(options.port, options.host, options.home, scenario) as engine:
        sys.stdout.write(f"Preview engine, in place of ComfyUI: {engine.url}\n")
        sys.stdout.flush()
        try:
            engine.wait()
        except KeyboardInterrupt:
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.engine",
        description="Answers in place of ComfyUI, without a model: its clips are previews, not HunyuanVideo output.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188, help="0: any free one")
    parser.add_argument("--home", type=Path, help="holds input/, output/ and temp/; default: a temporary folder")
    parser.add_argument("--scenario", default="{}", help="JSON: the faults to play; fields in scenario.py")
    return parser


if __name__ == "__main__":
    sys.exit(main())
