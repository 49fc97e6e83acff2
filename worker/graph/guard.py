"""Which classes of nodes a caller's workflow may use."""

from collections.abc import Iterable
from fnmatch import fnmatchcase


def find_fault(class_type: str, allow: Iterable[str], deny: Iterable[str]) -> str | None:
    """Why a node of this class may not run, with the setting that says so; None: it may. Both are fnmatch patterns."""
    allow = tuple(allow)
    if allow and not _find_match(class_type, allow):
        return "its class is not among those that this worker allows (WORKFLOW_NODES_ALLOW)"
    if pattern := _find_match(class_type, deny):
        return f"its class is refused by this worker: it matches {pattern} of WORKFLOW_NODES_DENY"
    return None


def _find_match(class_type: str, patterns: Iterable[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(class_type, pattern)), None)
