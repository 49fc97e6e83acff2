"""What can go wrong with a job, as one tree.

WorkerError
├── ConfigError          config               a setting of the container cannot be used
├── ModelError           models               a model file is missing or unfit, and nothing can replace it
├── InvalidInput         invalid_input        a field of the job's input is wrong
│   └── ImageRejected    image_rejected       the picture cannot be fetched, read or used
├── WorkflowRejected     workflow_rejected    ComfyUI, or the worker before it, refuses the graph
│   └── ModelMissing     model_missing        ... because the endpoint does not have a preset's models
├── ExecutionFailed      execution_failed     a node failed while it ran
│   └── OutOfMemory      out_of_memory        ... because the GPU's memory does not hold it
├── JobTimeout           timeout              the job's deadline passed, or nothing moved for too long
├── JobCancelled         cancelled            the platform took the job back
├── ComfyUIUnavailable   comfyui_unavailable  ComfyUI is not there, or died or restarted under the job
├── OutputFailed         output_failed        ComfyUI finished, and its files cannot be delivered
└── InternalError        internal             a fault of the worker's own
"""

from typing import Any, ClassVar

from typing_extensions import Self


class WorkerError(Exception):
    """A fault with a code for programs, a message for people, and details for the answer (JSON values)."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def adding(self, **details: Any) -> Self:
        """The same error with more details, to be raised in its place: an error that was raised is never changed."""
        return type(self)(self.message, **{**self.details, **details})

    def answer(self) -> dict[str, Any]:
        """The reply to the caller; the SDK requires `error` to be a string."""
        return {"error": f"{self.code}: {self.message}", "code": self.code, **self.details}


class ConfigError(WorkerError):
    """A setting of the container cannot be used."""

    code = "config"


class ModelError(WorkerError):
    """A model file is missing or unfit, and nothing can replace it."""

    code = "models"


class InvalidInput(WorkerError):
    """One or more fields of the job's input are wrong; all are named."""

    code = "invalid_input"


class ImageRejected(InvalidInput):
    """The picture cannot be fetched, read or used."""

    code = "image_rejected"


class WorkflowRejected(WorkerError):
    """ComfyUI, or the worker before it, refuses the graph."""

    code = "workflow_rejected"


class ModelMissing(WorkflowRejected):
    """A preset's models are not on this endpoint."""

    code = "model_missing"


class ExecutionFailed(WorkerError):
    """A node failed while it ran."""

    code = "execution_failed"


class OutOfMemory(ExecutionFailed):
    """A node asked for more GPU memory than there is."""

    code = "out_of_memory"


class JobTimeout(WorkerError):
    """The job's deadline passed, or ComfyUI showed no sign of work for too long."""

    code = "timeout"


class JobCancelled(WorkerError):
    """The platform took the job back; nobody waits for the answer."""

    code = "cancelled"


class ComfyUIUnavailable(WorkerError):
    """ComfyUI is not there, or died or restarted while it had the job."""

    code = "comfyui_unavailable"


class OutputFailed(WorkerError):
    """ComfyUI finished, and its files cannot be delivered."""

    code = "output_failed"


class InternalError(WorkerError):
    """A fault of the worker's own; the log has the traceback."""

    code = "internal"
