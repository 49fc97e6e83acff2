"""Settings from the environment: the only room that reads or writes it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import ConfigError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MODEL_MODES = ("AUTO", "COPY", "LINK")
MODEL_URLS = (
    "HUNYUAN_UNET_URL",
    "HUNYUAN_VAE_URL",
    "CLIP1_URL",
    "CLIP2_URL",
    "CLIP_VISION_URL",
    "HUNYUAN_FAST_UNET_URL",
    "HUNYUAN_SR_UNET_URL",
    "HUNYUAN_UPSAMPLER_URL",
)
PRESET_NAMES = ("balanced", "fast", "quality")
GRAPH_OPTIONS = ("torch_compile", "easycache", "tiled_decode")
BUCKET_KEYS = ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")
MAX_EXPIRY = 604_800  # seconds: the longest that S3 signs a URL for
MB = 1_000_000
# Classes, as fnmatch patterns, of nodes that run code, open whatever path or address they are given, or leave files
# outside the job's folder: ComfyUI's own by name, those of node packs by the words their names are made of.
DENIED_NODES = (
    "LoadImageDataSetFromFolder,LoadImageTextDataSetFromFolder,LoadTrainingDataset,Load3D,"
    "Save*DataSetToFolder,SaveTrainingDataset,SaveLoRA,"
    "VHS_Load*Path,*From*Folder*,*From*Dir*,*From*Path*,*From*[Uu][Rr][Ll]*,LoadText|*,SaveText|*,* Text File,"
    "*Python*,*Exec[A-Z]*,*Exec,*Eval[A-Z]*,*Eval,*[Ss]ubprocess*,*Shell*,*Bash*,*Terminal*"
)


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket for finished files, and how to use it."""

    endpoint: str
    """BUCKET_ENDPOINT_URL: the service's URL, or the bucket's own, with the bucket's name in its host or path."""
    access_key: str = field(repr=False)
    """BUCKET_ACCESS_KEY_ID"""
    secret_key: str = field(repr=False)
    """BUCKET_SECRET_ACCESS_KEY"""
    name: str
    """BUCKET_NAME; empty where the endpoint's URL holds it."""
    prefix: str
    """BUCKET_PREFIX: the folder in the bucket, without slashes at its ends."""
    expiry: int
    """BUCKET_EXPIRY: seconds for which the URLs of uploaded files work."""
    timeout: float
    """BUCKET_TIMEOUT: how long the upload of one clip may take, retries included."""


@dataclass(frozen=True)
class Settings:
    """Every setting of the worker, read once. Sizes in bytes, times in seconds."""

    has_queue: bool
    """RUNPOD_WEBHOOK_GET_JOB: a queue to take jobs from, the platform's or the local endpoint's."""
    realtime_port: str
    """RUNPOD_REALTIME_PORT: makes the SDK serve HTTP instead of taking jobs."""
    comfyui_url: str
    """COMFYUI_URL: by default COMFYUI_PORT of this machine."""
    comfyui_dir: Path | None
    """COMFYUI_DIR: holds ComfyUI's input, output and temp folders; None: this worker cannot reach its files."""
    comfyui_log: Path | None
    """COMFYUI_LOG: ComfyUI's output, quoted when ComfyUI dies; None: nothing here starts ComfyUI and keeps it up."""
    models_state: Path | None
    """MODELS_STATE: what builder.sh says of the models; None: nothing here brings them."""
    boot_timeout: float
    """COMFYUI_BOOT_TIMEOUT: how long ComfyUI may take to answer before the worker reports itself unfit."""
    init_timeout: float
    """BOOT_TIMEOUT: the same for models and warm-up, from the handler's start."""
    warmup: bool
    """WARMUP: whether a tiny job runs before the first of the queue, so that the models are loaded when that comes."""
    job_timeout: float
    """JOB_TIMEOUT: a job's deadline, from its start."""
    stall_timeout: float
    """STALL_TIMEOUT: how long a running job may show no sign of work."""
    stop_timeout: float
    """STOP_TIMEOUT: how long ComfyUI may take to stop a prompt before the worker asks to be replaced."""
    reply_limit: int | None
    """REPLY_LIMIT_MB, in bytes; None: the platform's 10 MB (/run) or 20 MB (/runsync)."""
    bucket: Bucket | None
    """BUCKET_*: where finished files go; None: into the reply."""
    bucket_expiry: int
    """BUCKET_EXPIRY, for a bucket that a job brings along too."""
    bucket_timeout: float
    """BUCKET_TIMEOUT, for a bucket that a job brings along too."""
    volume: Path
    """VOLUME_DIR: where the network volume is mounted, if there is one."""
    volume_id: str
    """RUNPOD_VOLUME_ID: the network volume's name as a bucket of RunPod's S3 API."""
    datacenter: str
    """RUNPOD_DC_ID: where the volume, and so its S3 API, is."""
    max_image_bytes: int
    """MAX_IMAGE_MB, in bytes"""
    max_image_pixels: int
    """MAX_IMAGE_MEGAPIXELS, in pixels"""
    max_frames: int
    """MAX_FRAMES"""
    default_preset: str
    """DEFAULT_PRESET: for a job that names none."""
    clip_limits: tuple[tuple[float, float], ...]
    """CLIP_LIMITS: (GPU memory in GB, most megapixels of a whole clip from there on), by memory; empty: any clip."""
    graph_options: tuple[str, ...]
    """GRAPH_OPTIONS: what is changed in the worker's own graphs."""
    concurrency: int
    """WORKER_CONCURRENCY: jobs taken at once; ComfyUI runs their prompts one after the other."""
    nodes_allow: tuple[str, ...]
    """WORKFLOW_NODES_ALLOW: patterns of the only node classes that a caller's workflow may use; empty: any."""
    nodes_deny: tuple[str, ...]
    """WORKFLOW_NODES_DENY: patterns of those that it may not, also when allowed; default DENIED_NODES."""
    local_host: str
    """LOCAL_HOST: where the local endpoint listens."""
    local_port: int
    """LOCAL_PORT"""
    log_level: str
    """LOG_LEVEL"""
    sdk_log_level: str
    """RUNPOD_LOG_LEVEL: by default INFO, as at DEBUG the SDK logs the ends of every reply."""


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises ConfigError naming the variable, its value and what is allowed."""
    limit = _number(environ, "REPLY_LIMIT_MB", 0, 0, 1000)
    bucket_expiry = int(_number(environ, "BUCKET_EXPIRY", MAX_EXPIRY, 60, MAX_EXPIRY))
    bucket_timeout = _number(environ, "BUCKET_TIMEOUT", 300, 1, 3600)
    return Settings(
        has_queue=bool(environ.get("RUNPOD_WEBHOOK_GET_JOB")),
        realtime_port=environ.get("RUNPOD_REALTIME_PORT", ""),
        comfyui_url=_http_url(environ, "COMFYUI_URL", f"http://127.0.0.1:{environ.get('COMFYUI_PORT') or 8188}"),
        comfyui_dir=_path(environ, "COMFYUI_DIR"),
        comfyui_log=_path(environ, "COMFYUI_LOG"),
        models_state=_path(environ, "MODELS_STATE"),
        boot_timeout=_number(environ, "COMFYUI_BOOT_TIMEOUT", 300, 1, 3600),
        init_timeout=_number(environ, "BOOT_TIMEOUT", 400, 1, 86400),
        warmup=bool(_number(environ, "WARMUP", 0, 0, 1)),
        job_timeout=_number(environ, "JOB_TIMEOUT", 3600, 1, 86400),
        stall_timeout=_number(environ, "STALL_TIMEOUT", 900, 1, 86400),
        stop_timeout=_number(environ, "STOP_TIMEOUT", 120, 1, 3600),
        reply_limit=int(limit * MB) or None,
        bucket=_bucket(environ, bucket_expiry, bucket_timeout),
        bucket_expiry=bucket_expiry,
        bucket_timeout=bucket_timeout,
        volume=_volume(environ),
        volume_id=environ.get("RUNPOD_VOLUME_ID", ""),
        datacenter=environ.get("RUNPOD_DC_ID", ""),
        max_image_bytes=int(_number(environ, "MAX_IMAGE_MB", 20, 0.001, 1000) * MB),
        max_image_pixels=int(_number(environ, "MAX_IMAGE_MEGAPIXELS", 64, 0.001, 1000) * 1e6),
        max_frames=int(_number(environ, "MAX_FRAMES", 129, 1, 1000)),
        default_preset=_choice(environ, "DEFAULT_PRESET", "balanced", PRESET_NAMES),
        clip_limits=_clip_limits(environ),
        graph_options=_graph_options(environ),
        concurrency=int(_number(environ, "WORKER_CONCURRENCY", 1, 1, 8)),
        nodes_allow=_names(environ, "WORKFLOW_NODES_ALLOW", ""),
        nodes_deny=_names(environ, "WORKFLOW_NODES_DENY", DENIED_NODES),
        local_host=environ.get("LOCAL_HOST") or "localhost",
        local_port=int(_number(environ, "LOCAL_PORT", 8000, 1, 65535)),
        log_level=_choice(environ, "LOG_LEVEL", "INFO", LOG_LEVELS),
        sdk_log_level=environ.get("RUNPOD_LOG_LEVEL") or "INFO",
    )


@dataclass(frozen=True)
class ModelSettings:
    """Where the models come from and where they go, read once."""

    sets: tuple[str, ...]
    """MODEL_SETS: names of the sets of models.toml to bring."""
    target: Path
    """MODELS_DIR: ComfyUI's models folder; default COMFYUI_DIR/models."""
    volume: Path
    """VOLUME_DIR: where the network volume is mounted."""
    mode: str
    """MODELS_MODE: COPY, LINK, or AUTO, which links where a copy has no room."""
    streams: int
    """MODELS_STREAMS: reads in flight at once."""
    urls: Mapping[str, str]
    """HUNYUAN_UNET_URL, HUNYUAN_VAE_URL, CLIP1_URL, CLIP2_URL, CLIP_VISION_URL: those that are set."""
    hub: str
    """HF_ENDPOINT: the Hugging Face hub or a mirror of it."""
    token: str = field(repr=False)
    """HF_TOKEN"""
    log_level: str
    """LOG_LEVEL"""


def load_models(environ: Mapping[str, str] = os.environ) -> ModelSettings:
    """Read the models' settings; raises ConfigError like `load`."""
    comfyui_dir = Path(environ.get("COMFYUI_DIR") or "/comfyui")
    return ModelSettings(
        sets=_names(environ, "MODEL_SETS", "default"),
        target=Path(environ.get("MODELS_DIR") or comfyui_dir / "models"),
        volume=_volume(environ),
        mode=_choice(environ, "MODELS_MODE", "AUTO", MODEL_MODES),
        streams=int(_number(environ, "MODELS_STREAMS", 8, 1, 64)),
        urls={name: _http_url(environ, name, "") for name in MODEL_URLS if environ.get(name)},
        hub=_http_url(environ, "HF_ENDPOINT", "https://huggingface.co"),
        token=environ.get("HF_TOKEN", ""),
        log_level=_choice(environ, "LOG_LEVEL", "INFO", LOG_LEVELS),
    )


def export(values: Mapping[str, str]) -> None:
    """Set environment variables that this process, the SDK in it or its children have yet to read."""
    os.environ.update(values)


def _bucket(environ: Mapping[str, str], expiry: int, timeout: float) -> Bucket | None:
    """The bucket, if it is set at all; the names are those of the runpod SDK and worker-comfyui, as is its default."""
    endpoint, access_key, secret_key = (environ.get(name, "").strip() for name in BUCKET_KEYS)
    name, prefix = (environ.get(name, "").strip().strip("/") for name in ("BUCKET_NAME", "BUCKET_PREFIX"))
    if not (endpoint or access_key or secret_key):
        return None
    if not (endpoint and access_key and secret_key):
        raise ConfigError(f"a bucket needs all of {', '.join(BUCKET_KEYS)}; or set none, and files come in the reply")
    for variable, value in (("BUCKET_NAME", name), ("BUCKET_PREFIX", prefix.replace("/", ""))):
        if not re.fullmatch(r"[\w.-]*", value, re.ASCII):
            raise ConfigError(f"{variable}={value!r} may have letters, digits, dots, hyphens and underscores")
    endpoint = _http_url(environ, "BUCKET_ENDPOINT_URL", "")
    return Bucket(endpoint, access_key, secret_key, name, prefix, expiry, timeout)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def _volume(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("VOLUME_DIR") or "/runpod-volume")


def _number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ConfigError(f"{name}={text!r} must be a number from {low} to {high}; default {default}")
    return value


def _names(environ: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    names = (part.strip() for part in (environ.get(name) or default).split(","))
    return tuple(part for part in names if part)


def _choice(environ: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = environ.get(name) or default
    for value in allowed:
        if value.lower() == text.lower():
            return value
    raise ConfigError(f"{name}={text!r} must be one of {', '.join(allowed)}; default {default}")


def _clip_limits(environ: Mapping[str, str]) -> tuple[tuple[float, float], ...]:
    text = environ.get("CLIP_LIMITS", "")
    try:
        pairs = [tuple(map(float, part.split(":"))) for part in text.split(",") if part.strip()]
        limits = sorted((memory, megapixels) for memory, megapixels in pairs)
        if all(0 < value < float("inf") for limit in limits for value in limit):
            return tuple(limits)
    except ValueError:
        pass
    raise ConfigError(
        f"CLIP_LIMITS={text!r} must be GB:MEGAPIXELS by commas, as in 24:50,48:120: on GPUs with that much memory, "
        "the most megapixels (width x height x frames) of a clip"
    )


def _graph_options(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = _names(environ, "GRAPH_OPTIONS", "")
    if unknown := set(names) - set(GRAPH_OPTIONS):
        raise ConfigError(f"GRAPH_OPTIONS: {', '.join(sorted(unknown))} must be of {', '.join(GRAPH_OPTIONS)}")
    return names


def _http_url(environ: Mapping[str, str], name: str, default: str) -> str:
    value = (environ.get(name) or default).rstrip("/")
    if not value.startswith(("http://", "https://")):
        raise ConfigError(f"{name}={value!r} must start with http:// or https://; default {default}")
    return value
