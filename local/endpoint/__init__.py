"""A stand-in for a RunPod serverless endpoint on this machine: RunPod's protocol, for callers and for workers."""

from local.endpoint.options import Faults, Options
from local.endpoint.server import Endpoint, PortTaken, start

__all__ = ["Endpoint", "Faults", "Options", "PortTaken", "start"]
