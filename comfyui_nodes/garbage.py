"""Python's garbage collector after ComfyUI's start, during which builder.sh keeps it from looking often."""

import gc

WHILE_STARTING = 50_000
"""Objects after which it looks; as builder.sh sets it."""
AS_USUAL = (700, 10, 10)


def settle() -> None:
    """Have it look as often as usual, and no more at what is imported by now."""
    if gc.get_threshold()[0] == WHILE_STARTING:
        gc.freeze()
        gc.set_threshold(*AS_USUAL)
