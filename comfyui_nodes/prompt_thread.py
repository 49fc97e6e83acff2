"""A ComfyUI that runs no prompt any more ends, so that it is started again.

An exception outside a node ends the thread that runs prompts, and ComfyUI goes on answering HTTP for ever.
"""

import os
import sys
import threading

THREAD = "prompt_worker"
"""The function that ComfyUI's main.py gives the thread; Python makes it a part of the thread's name."""
STATUS = 70


def end_with_prompt_thread() -> None:
    """From now on the process ends with STATUS when that thread dies, after the traceback is written."""
    report = threading.excepthook

    def end(death: threading.ExceptHookArgs) -> None:
        report(death)
        if death.thread and THREAD in death.thread.name:
            sys.stderr.write("ComfyUI's prompt thread has died: the process ends\n")
            sys.stderr.flush()
            os._exit(STATUS)

    threading.excepthook = end
