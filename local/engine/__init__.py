"""The preview engine: a stand-in that speaks ComfyUI 0.33.0's protocol and has neither model nor GPU.

Its frames are the caller's picture in slow motion, marked as a preview. Its protocol is ComfyUI's, so that the worker
runs the same code against both; a Scenario makes it misbehave on purpose.
"""

from local.engine.engine import Engine, start
from local.engine.scenario import Scenario

__all__ = ["Engine", "Scenario", "start"]
