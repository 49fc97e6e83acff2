"""What can go wrong with a job, as one tree.

Each class has its code and its cause (the docstring); one that a job can get, what to do about it and which details its
answer has. docs/API.md's table is made from them (`make docs`).
"""

from typing import Any, ClassVar

from typing_extensions import Self


class WorkerError(Exception):
    """A fault with a code for programs, a message for people, and details for the answer (JSON values)."""

    code: ClassVar[str] = "internal"
    remedy: ClassVar[str]
    """What the caller can do."""
    detail: ClassVar[str] = ""
    """The details of its answers, by name."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def adding(self, **details: Any) -> Self:
        """The same error with more details, to be raised in its place: an error that was raised is never changed."""
        return type(self)(self.message, **{**self.details, **details})

    def answer(self) -> dict[str, Any]:
        """The reply to the caller; the SDK requires `error` to be a string."""
        text = f"{self.code}: {self.message}"
        # RunPod's Python SDK hands on the details only, without `error`.
        return {"error": text, "code": self.code, "message": text, **self.details}


class ConfigError(WorkerError):
    """A setting of the container cannot be used."""

    code = "config"
    remedy = "fix the [setting](CONFIGURATION.md)"


class ModelError(WorkerError):
    """A model file is missing or unfit, and nothing can replace it."""

    code = "models"


class InvalidInput(WorkerError):
    """One or more fields of the job's input are wrong; the message names all of them."""

    code = "invalid_input"
    remedy = "fix the fields named in the message"
    detail = "`fields`: what is wrong, by field"


class ImageRejected(InvalidInput):
    """The image cannot be fetched, read or used."""

    code = "image_rejected"
    remedy = "send another image, a smaller one, or the file itself as base64"
    detail = "`field`: the field with the image"


class WorkflowRejected(WorkerError):
    """ComfyUI or the worker rejected the graph."""

    code = "workflow_rejected"
    remedy = "fix the node named in the message, or install the model that it names"
    detail = "`nodes`, or `node_id`, `node_title` and `input`; `node_packs`, where a class is missing"


class ModelMissing(WorkflowRejected):
    """The endpoint does not have a model of the preset or of `upscale`."""

    code = "model_missing"
    remedy = "the operator adds the set to MODEL_SETS, or you choose another preset"
    detail = "`files`"


class ExecutionFailed(WorkerError):
    """A node failed, or was interrupted."""

    code = "execution_failed"
    remedy = "see the message; the worker's log has ComfyUI's traceback"
    detail = "`node_id`, `node_type`, `exception_type`"


class OutOfMemory(ExecutionFailed):
    """A node ran out of GPU memory."""

    code = "out_of_memory"
    remedy = "fewer `num_frames`, a smaller size, or a larger GPU"
    detail = "those of `execution_failed`"


class JobTimeout(WorkerError):
    """The job passed JOB_TIMEOUT, or showed no sign of work for STALL_TIMEOUT."""

    code = "timeout"
    remedy = "fewer `num_frames` or `steps`, or a higher limit"


class JobCancelled(WorkerError):
    """The platform canceled the job."""

    code = "cancelled"
    remedy = "none: the job was canceled, and its answer is not read"


class ComfyUIUnavailable(WorkerError):
    """ComfyUI does not answer, or died or restarted during the job."""

    code = "comfyui_unavailable"
    remedy = "send the job again; if it repeats, see [Troubleshooting](TROUBLESHOOTING.md)"
    detail = "`comfyui_log`: its last lines"


class OutputFailed(WorkerError):
    """ComfyUI finished, but its files cannot be delivered: they are too large or gone, or none were saved."""

    code = "output_failed"
    remedy = "fewer `num_frames`, a smaller size, `/runsync` instead of `/run`, a bucket, or a workflow that saves"
    detail = "`limit_bytes`, `video_bytes`, `image_bytes`, `recovered`"


class InternalError(WorkerError):
    """A bug in the worker; the log has the traceback."""

    code = "internal"
    remedy = "report it with the worker's log"
