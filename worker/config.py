"""Settings: each declared once, read from the environment, which no other module of worker/ reads or writes.

A declaration has the variable's name, the default, the limits and what it does. The tables of docs/CONFIGURATION.md, of
which the comments between the declarations are the titles, and .runpod/hub.json are made from them (`make docs`).
"""

import contextlib
import fcntl
import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from worker import catalogue
from worker.errors import ConfigError

BUCKET_KEYS = ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")
MAX_EXPIRY = 604_800  # seconds: the longest that S3 signs a URL for
MB = 1_000_000
NO_SETS = "none"  # the value of MODEL_SETS that names none of the worker's sets
# Classes, as fnmatch patterns, of nodes that run code, open whatever path or address they are given, or leave files
# outside the job's folder: ComfyUI's own by name, those of node packs by the words their names are made of. A regular
# expression can take a day, and Python's format any attribute and all memory.
DENIED_NODES = (
    "LoadImageDataSetFromFolder,LoadImageTextDataSetFromFolder,LoadTrainingDataset,Load3D*,"
    "Regex*,StringFormat,GLSLShader,"
    "Save*DataSetToFolder,SaveTrainingDataset,SaveLoRA,"
    "VHS_Load*Path,*From*Folder*,*From*Dir*,*From*Path*,*From*[Uu][Rr][Ll]*,LoadText|*,SaveText|*,* Text File,"
    "*Python*,*Exec[A-Z]*,*Exec,*Eval[A-Z]*,*Eval,*[Ss]ubprocess*,*Shell*,*Bash*,*Terminal*"
)


def setting(
    variable: str,
    default: Any,
    effect: str,
    *,
    unit: str = "",
    allowed: str = "",
    shown: str | None = None,
    choices: Collection[str] = (),
    secret: bool = False,
    **limits: Any,
) -> Any:
    """Declare a setting.

    unit: of a number. allowed: what a value must be, where neither limits nor choices tell. shown: the default in
    words. choices: of a text, or of each part of a list, in any case.
    """
    extra: Any = {"unit": unit, "allowed": allowed, "shown": shown, "choices": list(choices)}
    return Field(default, alias=variable, description=effect, json_schema_extra=extra, repr=not secret, **limits)


def facts_of(model: type[BaseModel], field: str) -> dict[str, Any]:
    """What `setting` was given for a field beside its default and limits."""
    extra = model.model_fields[field].json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _lower_known(sets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() if name.lower() in (*catalogue.MODEL_SETS, NO_SETS) else name for name in sets)


def _read_clip_limits(text: object) -> object:
    if not isinstance(text, str):
        return text
    pairs = [part.split(":") for part in text.split(",") if part.strip()]
    limits = sorted((float(memory), float(megapixels)) for memory, megapixels in pairs)
    if not all(0 < value < float("inf") for limit in limits for value in limit):
        raise ValueError("not above 0")
    return tuple(limits)


InBytes = AfterValidator(lambda megabytes: int(megabytes * MB))
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Text = Annotated[str, BeforeValidator(lambda text: text.strip())]
Url = Annotated[Text, AfterValidator(lambda url: url.rstrip("/"))]
ClipLimits = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_read_clip_limits)]
HTTP: dict[str, Any] = {"pattern": r"^(https?://.|$)", "allowed": "an http:// or https:// URL"}
NAMES = "class names or patterns, comma-separated"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Declared(BaseModel):
    """A group of settings, frozen; made by the variables' names or by the fields'."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, validate_default=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _match_choice(cls, value: object, info: ValidationInfo) -> object:
        choices = {choice.lower(): choice for choice in facts_of(cls, info.field_name or "").get("choices", ())}
        if not choices or not isinstance(value, str):
            return value
        several = isinstance(cls.model_fields[info.field_name or ""].default, tuple)
        parts = [part.strip() for part in value.split(",") if part.strip()] if several else [value.strip()]
        if unknown := [part for part in parts if part.lower() not in choices]:
            raise ValueError(f"not a choice: {unknown}")
        return ",".join(choices[part.lower()] for part in parts)


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket for finished files, and how to use it: the endpoint's (BUCKET_*), or one that a job brings along."""

    endpoint: str
    """The service's URL, or the bucket's own, with the bucket's name in its host or path."""
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    name: str
    """Empty where the endpoint's URL holds it."""
    prefix: str
    """The folder in the bucket, without slashes at its ends."""
    expiry: int
    """Seconds for which the URLs of uploaded files work."""
    timeout: float
    """Seconds that the upload of one clip may take, retries included."""
    region: str = ""
    """What requests are signed for; empty: as the endpoint's host or the store tells."""
    in_host: bool = False
    """Whether the bucket's name belongs into the endpoint's host."""
    public_url: str = ""
    """Where everybody can read the bucket's files; empty: by presigned URLs."""
    addresses: tuple[str, ...] = ()
    """The only IP addresses to send to, of a bucket that a job brings along."""


class Shared(Declared):
    """What both programs read, the handler and `python -m worker.models`."""

    # The container and its log
    volume: Path = setting(
        "VOLUME_DIR", Path("/runpod-volume"), "where the network volume is mounted", allowed="a folder"
    )
    log_level: str = setting("LOG_LEVEL", "INFO", "what the worker logs", choices=LOG_LEVELS)


class Settings(Shared):
    """Every setting of the worker, read once. Sizes in bytes, times in seconds."""

    # Jobs
    max_frames: int = setting("MAX_FRAMES", 129, "the longest clip that a job may request, in frames", ge=1, le=1000)
    default_preset: str = setting(
        "DEFAULT_PRESET",
        "balanced",
        "the [preset](PRESETS.md) of jobs that name none; its models must be in MODEL_SETS. With "
        "`MODEL_SETS=fast` it is `fast` by default",
        choices=catalogue.PRESETS,
    )
    clip_limits: ClipLimits = setting(
        "CLIP_LIMITS",
        (),
        "the largest clip, width x height x frames, by GPU memory: `24:50,48:120` allows 50 megapixels from "
        "24 GB, and 120 from 48 GB ([why](PRESETS.md#what-fits-a-gpu))",
        allowed="GB:MEGAPIXELS, comma-separated, as in 24:50,48:120",
    )
    graph_options: Names = setting(
        "GRAPH_OPTIONS",
        (),
        "options of the worker's own graphs: [what they do](PRESETS.md#change-the-graph)",
        choices=catalogue.GRAPH_OPTIONS,
    )
    attention: str = setting(
        "ATTENTION",
        "auto",
        "auto: [the attention kernel that suits the GPU](PERFORMANCE.md#attention); comfyui: ComfyUI's own choice",
        choices=("auto", "comfyui"),
    )
    job_timeout: float = setting(
        "JOB_TIMEOUT",
        3600,
        "a job's deadline, from its start; keep the endpoint's execution timeout (600 s by default) above it",
        unit="s",
        ge=1,
        le=86400,
    )
    stall_timeout: float = setting(
        "STALL_TIMEOUT",
        900,
        "how long a running job may show no progress; loading models from a slow disk counts as one step",
        unit="s",
        ge=1,
        le=86400,
    )
    stop_timeout: float = setting(
        "STOP_TIMEOUT",
        45,
        "how long ComfyUI may take to stop a job; then it is killed and restarted, or, if that is impossible, the "
        "worker asks to be replaced",
        unit="s",
        ge=1,
        le=3600,
    )
    max_image_bytes: Annotated[float, InBytes] = setting(
        "MAX_IMAGE_MB", 20, "the largest image file", unit="MB", ge=0.001, le=1000
    )
    max_media_bytes: Annotated[float, InBytes] = setting(
        "MAX_MEDIA_MB", 100, "the largest video or sound for a workflow, as a file", unit="MB", ge=0.001, le=1000
    )
    max_media_seconds: float = setting(
        "MAX_MEDIA_SECONDS", 120, "the longest video or sound for a workflow", unit="s", ge=0.1, le=3600
    )
    max_image_pixels: Annotated[float, InBytes] = setting(
        "MAX_IMAGE_MEGAPIXELS", 64, "the largest image, width times height", unit="megapixels", ge=0.001, le=1000
    )
    progress: bool = setting(
        "PROGRESS",
        True,
        "0: send no progress while a job runs, for clients that mistake any output for the result",
        allowed="0 or 1",
        shown="1",
    )
    concurrency: int = setting(
        "WORKER_CONCURRENCY",
        1,
        "jobs taken at once; ComfyUI still runs them one after the other",
        unit="jobs",
        ge=1,
        le=8,
    )
    nodes_allow: Names = setting(
        "WORKFLOW_NODES_ALLOW",
        (),
        "the only node classes that a caller's workflow may use; unset: the reviewed ones of ComfyUI's own and those "
        "of installed node packs; `*`: any",
        allowed=NAMES,
    )
    nodes_deny: Names = setting(
        "WORKFLOW_NODES_DENY",
        DENIED_NODES,
        "node classes that a workflow may never use: those that run code or leave ComfyUI's folders",
        allowed=NAMES,
        shown="a list in `worker/config.py`",
    )

    api_nodes: bool = setting(
        "API_NODES",
        False,
        "1: allow ComfyUI's API nodes in workflows; they send images and prompts to other companies and cost credits",
        allowed="0 or 1",
        shown="0",
    )
    comfy_org_api_key: Text = setting(
        "COMFY_ORG_API_KEY",
        "",
        "pays for API nodes if a request has no key of its own",
        secret=True,
    )

    # Files and where they go
    reply_limit: Annotated[float, InBytes] = setting(
        "REPLY_LIMIT_MB",
        0,
        "the largest reply; 0: [RunPod's own limits](API.md#sizes-and-limits), 10 MB for `/run`, 20 MB for `/runsync`",
        unit="MB",
        ge=0,
        le=1000,
    )
    bucket_endpoint: Url = setting(
        "BUCKET_ENDPOINT_URL",
        "",
        "an S3 bucket for finished files: the URL of the service or of the bucket; also set the two keys",
        **HTTP,
    )
    bucket_access_key: Text = setting("BUCKET_ACCESS_KEY_ID", "", "the bucket's access key", secret=True)
    bucket_secret_key: Text = setting(
        "BUCKET_SECRET_ACCESS_KEY", "", "the bucket's secret key; use a RunPod secret", secret=True
    )
    bucket_name: Text = setting(
        "BUCKET_NAME",
        "",
        "the bucket's name, if the URL does not include it",
        pattern=r"^[A-Za-z0-9_.-]*$",
        allowed="letters, digits, dots, hyphens and underscores",
    )
    bucket_prefix: Annotated[Text, AfterValidator(lambda text: text.strip("/"))] = setting(
        "BUCKET_PREFIX",
        "",
        "the folder in the bucket",
        pattern=r"^[A-Za-z0-9_./-]*$",
        allowed="letters, digits, dots, hyphens, underscores and slashes",
    )
    bucket_expiry: int = setting(
        "BUCKET_EXPIRY", MAX_EXPIRY, "how long the URLs of uploaded files are valid", unit="s", ge=60, le=MAX_EXPIRY
    )
    bucket_timeout: float = setting(
        "BUCKET_TIMEOUT", 300, "how long the upload of one clip may take", unit="s", ge=1, le=3600
    )
    bucket_region: Text = setting(
        "BUCKET_REGION",
        "",
        "the region that requests are signed for, if it cannot be found out from the service",
        pattern=r"^[A-Za-z0-9-]*$",
        allowed="letters, digits and hyphens",
    )
    bucket_addressing: str = setting(
        "BUCKET_ADDRESSING",
        "path",
        "where requests name the bucket: in the URL's path, or in its host, as Alibaba OSS and Tencent COS require",
        choices=("path", "host"),
    )
    bucket_public_url: Url = setting(
        "BUCKET_PUBLIC_URL",
        "",
        "a public address of the bucket, such as a CDN: answers have permanent URLs under it instead of signed ones",
        **HTTP,
    )
    volume_id: str = setting(
        "RUNPOD_VOLUME_ID", "", "the volume's name in RunPod's S3 API", shown="set by the platform"
    )
    datacenter: str = setting("RUNPOD_DC_ID", "", "the data center of RunPod's S3 API", shown="set by the platform")

    # ComfyUI
    comfyui_url: Url = setting(
        "COMFYUI_URL",
        "http://127.0.0.1:8188",
        "ComfyUI's address; its default port is COMFYUI_PORT",
        **HTTP,
    )
    comfyui_dir: Path | None = setting(
        "COMFYUI_DIR",
        None,
        "ComfyUI's folder, where jobs' files are removed; `/comfyui` in the image",
        allowed="a folder",
    )
    comfyui_log: Path | None = setting(
        "COMFYUI_LOG",
        None,
        "ComfyUI's output beside the container's log, quoted when it dies; set by `builder.sh` to `/tmp/comfyui.log`",
        allowed="a file",
    )
    comfyui_pid: Path | None = setting(
        "COMFYUI_PID",
        None,
        "a file with ComfyUI's process ID, so that a hanging ComfyUI can be killed and restarted; set by `builder.sh` "
        "to `/tmp/comfyui.pid`",
        allowed="a file",
    )
    comfyui_state: Path | None = setting(
        "COMFYUI_STATE",
        None,
        "the file where `builder.sh` says why ComfyUI does not stay up; set by `builder.sh` to `/tmp/comfyui.state`",
        allowed="a file",
    )
    boot_timeout: float = setting(
        "COMFYUI_BOOT_TIMEOUT",
        300,
        "how long ComfyUI may take to start; in the container it is BOOT_TIMEOUT",
        unit="s",
        ge=1,
        le=3600,
    )

    # The container and its log
    init_timeout: float = setting(
        "BOOT_TIMEOUT",
        400,
        "when the worker gives up booting and logs why; set by `builder.sh` to RUNPOD_INIT_TIMEOUT minus 20",
        unit="s",
        ge=1,
        le=86400,
    )
    warmup: bool = setting(
        "WARMUP",
        False,
        "1: run a tiny job first, so that the models are loaded when the first job of the queue arrives",
        allowed="0 or 1",
        shown="0",
    )
    models_state: Path | None = setting(
        "MODELS_STATE",
        None,
        "where `builder.sh` reports on the models to the handler; set by it to `/tmp/models.state`",
        allowed="a file",
    )
    sdk_log_level: str = setting(
        "RUNPOD_LOG_LEVEL",
        "INFO",
        "what the SDK logs; at DEBUG this includes parts of every reply",
        allowed="the SDK's levels",
    )

    # A laptop
    local_port: int = setting("LOCAL_PORT", 8000, "where the local endpoint listens", ge=1, le=65535)
    local_host: str = setting(
        "LOCAL_HOST",
        "localhost",
        "the address on which it listens; `0.0.0.0` in the image, for `docker run -p`",
        allowed="an address",
    )
    queue_url: str = setting(
        "RUNPOD_WEBHOOK_GET_JOB",
        "",
        "the queue's address; without it the worker starts a local endpoint",
        shown="set by the platform",
    )
    realtime_port: str = setting(
        "RUNPOD_REALTIME_PORT",
        "",
        "refused: it keeps the handler from being called ([SOLUTION.md](SOLUTION.md))",
    )

    @property
    def has_queue(self) -> bool:
        """Whether there is a queue to take jobs from, the platform's or the local endpoint's."""
        return bool(self.queue_url)

    @property
    def bucket(self) -> Bucket | None:
        """Where finished files go; None: into the reply."""
        if not self.bucket_endpoint:
            return None
        return Bucket(
            self.bucket_endpoint,
            self.bucket_access_key,
            self.bucket_secret_key,
            name=self.bucket_name,
            prefix=self.bucket_prefix,
            expiry=self.bucket_expiry,
            timeout=self.bucket_timeout,
            region=self.bucket_region,
            in_host=self.bucket_addressing == "host",
            public_url=self.bucket_public_url,
        )


class ModelSettings(Shared):
    """Where the models come from and where they go."""

    # Models
    sets: Annotated[Names, AfterValidator(_lower_known)] = setting(
        "MODEL_SETS",
        ("default",),
        "what the endpoint can run: `default` brings the models of presets balanced and quality, `fast` those of "
        "fast, `upscale`, beside default, those of 1080p, `upscale_720p`, beside fast, those of fast_720p, `smooth` "
        "that of interpolate; `none` is for workflows only, and a set may be [your own](MODELS.md#files-of-your-own)",
        allowed=f"none, or some of {', '.join(catalogue.MODEL_SETS)} and your own, comma-separated",
    )
    own: Path | None = setting(
        "MODELS_FILE",
        None,
        "[your own model files and sets](MODELS.md#files-of-your-own)",
        allowed="a file",
        shown="`models.toml` on the volume",
    )
    target: Path = setting(
        "MODELS_DIR",
        Path("/comfyui/models"),
        "ComfyUI's models folder; by default `models` in COMFYUI_DIR",
        allowed="a folder",
    )
    mode: str = setting(
        "MODELS_MODE",
        "AUTO",
        "COPY models from the volume to the container's disk, LINK to them, or AUTO: copy if there is room",
        choices=("AUTO", "COPY", "LINK"),
    )
    streams: int = setting("MODELS_STREAMS", 8, "parallel reads while copying", unit="reads", ge=1, le=64)
    hub: Url = setting("HF_ENDPOINT", "https://huggingface.co", "a mirror of the Hugging Face hub", **HTTP)
    token: str = setting("HF_TOKEN", "", "the token for downloads from the Hugging Face hub", secret=True)
    urls: dict[str, Annotated[Url, Field(pattern=HTTP["pattern"])]] = Field(default_factory=dict)
    """By variable, the URLs that replace the catalogue's."""


@functools.cache
def load() -> Settings:
    """The settings of this process, read once; raises ConfigError like `read`."""
    return read(os.environ)


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises ConfigError naming the variable, its value and what is allowed."""
    port = environ.get("COMFYUI_PORT") or "8188"
    preset = catalogue.default_preset(read_models(environ).sets)
    defaults = {"COMFYUI_URL": f"http://127.0.0.1:{port}", "DEFAULT_PRESET": preset}
    settings = _read(Settings, defaults | _given(environ))
    if 0 < sum(bool(environ.get(name, "").strip()) for name in BUCKET_KEYS) < len(BUCKET_KEYS):
        raise ConfigError(f"a bucket needs all of {', '.join(BUCKET_KEYS)}; or set none, and files come in the reply")
    return settings


def read_models(environ: Mapping[str, str] = os.environ) -> ModelSettings:
    """Read the models' settings; raises ConfigError like `read`."""
    given = _given(environ)
    if folder := given.get("COMFYUI_DIR"):
        given = {"MODELS_DIR": f"{folder}/models"} | given
    return _read(
        ModelSettings, {**given, "urls": {name: given[name] for name in catalogue.MODEL_URLS if name in given}}
    )


def is_set(variable: str) -> bool:
    """Whether somebody chose a value, be it the default."""
    return bool(os.environ.get(variable))


def export(values: Mapping[str, str]) -> Settings:
    """Set environment variables for the SDK and for children, which have yet to read them; returns the settings now."""
    os.environ.update(values)
    load.cache_clear()
    return load()


def join_boot() -> Settings:
    """The settings, with what a builder.sh has decided that runs here and has not become this process.

    Where COMFYUI_URL names another ComfyUI than that builder's, nothing of it counts.
    """
    boot = _read_boot(Path(os.environ.get("BOOT_FILE") or "/tmp/worker.boot"))  # noqa: S108 - as builder.sh has it
    if os.environ.get("COMFYUI_URL") not in {None, "", boot.get("COMFYUI_URL")}:
        return load()
    return export({name: value for name, value in boot.items() if not is_set(name)})


def _read_boot(path: Path) -> dict[str, str]:
    """The variables of builder.sh's BOOT_FILE while it holds it; a lock that can be had is of one that has ended."""
    with contextlib.suppress(OSError), path.open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_uid not in {0, os.getuid()}:  # another user's, in a folder that is everyone's
            return {}
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    return {}


_Group = TypeVar("_Group", bound=Declared)


def _given(environ: Mapping[str, str]) -> dict[str, Any]:
    """What is set; an empty value counts as unset."""
    return {name: value for name, value in environ.items() if value}


def _read(group: type[_Group], given: Mapping[str, Any]) -> _Group:
    names = {field.alias or name for name, field in group.model_fields.items()}
    try:
        return group.model_validate({name: value for name, value in given.items() if name in names})
    except ValidationError as error:
        raise ConfigError(_explain(group, error)) from None


def _explain(group: type[Declared], error: ValidationError) -> str:
    """What is wrong with the first setting that is, and what is allowed."""
    fault = error.errors(include_url=False, include_context=False)[0]
    variable = str(fault["loc"][-1])
    if variable in catalogue.MODEL_URLS:
        return f"{variable}={fault['input']!r} must be {HTTP['allowed']}"
    name = next(name for name, field in group.model_fields.items() if field.alias == variable)
    default = show_default(group, name) or "none"
    return f"{variable}={str(fault['input'])!r} must be {describe(group, name)}; default {default}"


def describe(group: type[Declared], name: str) -> str:
    """What a setting's value must be, in words."""
    facts, schema = facts_of(group, name), group.model_json_schema(by_alias=False)["properties"][name]
    if facts["choices"]:
        several = isinstance(group.model_fields[name].default, tuple)
        return f"{'some of' if several else 'one of'} {', '.join(facts['choices'])}"
    if "minimum" in schema:
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        return f"{kind} from {schema['minimum']:g} to {schema['maximum']:g}"
    return str(facts["allowed"])


def show_default(group: type[Declared], name: str) -> str:
    """A setting's default, as one would set it; empty: none."""
    facts, default = facts_of(group, name), group.model_fields[name].default
    if facts["shown"] is not None:
        return str(facts["shown"])
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)
