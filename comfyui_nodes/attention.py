"""The node SetAttention, and which attention suits the GPU. Torch and ComfyUI exist in ComfyUI's process only.

Attention is 90 % of what a 720p clip computes. From 0.30 on ComfyUI asks PyTorch for FlashAttention-2 first, which on
Hopper has half the speed of cuDNN's kernel: 329 against 631 TFLOP/s (https://github.com/pytorch/pytorch/pull/142132).
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

CUDNN = "cudnn"
COMFYUI = "comfyui"
CUDNN_IS_FASTER = ((9, 0), (10, 0))
"""Compute capabilities: H100 and H200, B200. Elsewhere FlashAttention-2 is as fast."""
SOUND_CUDNN = 91501
"""9.15.1: earlier ones are wrong where a length is no multiple of 128 (https://github.com/pytorch/pytorch/issues/169849)."""
log = logging.getLogger(__name__)


def choose(capability: tuple[int, int] | None, cudnn: int | None) -> str:
    """CUDNN or COMFYUI; capability: the GPU's, None without one. cudnn: torch.backends.cudnn.version()."""
    faster = capability in CUDNN_IS_FASTER and cudnn is not None and cudnn >= SOUND_CUDNN
    return CUDNN if faster else COMFYUI


@functools.cache
def suited() -> str:
    """What suits this process: COMFYUI too where its command line asks for another kernel than PyTorch's."""
    import torch
    from comfy.ldm.modules import attention

    if not torch.cuda.is_available() or attention.optimized_attention is not attention.attention_pytorch:
        return COMFYUI
    capability, cudnn = torch.cuda.get_device_capability(), torch.backends.cudnn.version()
    chosen = choose(capability, cudnn)
    log.info("attention: %s, for compute capability %d.%d and cuDNN %s", chosen, *capability, cudnn)
    return chosen


def attend(  # noqa: PLR0917  ComfyUI's signature
    default: Callable[..., Any],
    q: Any,
    k: Any,
    v: Any,
    heads: int,
    mask: Any = None,
    attn_precision: Any = None,
    skip_reshape: bool = False,
    skip_output_reshape: bool = False,
    **others: Any,
) -> Any:
    """ComfyUI's attention, by cuDNN where it can, else by what PyTorch has next; `default` is ComfyUI's own.

    q, k, v: (batch, length, heads * size), or with skip_reshape (batch, heads, length, size). The result has the first
    form, or with skip_output_reshape the second one.
    """
    if mask is not None or "scale" in others or others.get("enable_gqa"):
        shapes = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output_reshape}
        return default(q, k, v, heads, mask=mask, attn_precision=attn_precision, **shapes, **others)
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    if not skip_reshape:
        q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (q, k, v))
    kernels = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(kernels, set_priority=True):
        result = scaled_dot_product_attention(q, k, v)
    return result if skip_output_reshape else result.transpose(1, 2).flatten(2)


class SetAttention:
    """Chooses which attention kernel the model samples with."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "set"
    CATEGORY = "model"
    DESCRIPTION = "The model with cuDNN's attention, or with ComfyUI's own choice. By default what suits the GPU."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        """What ComfyUI asks a node for; the default is what suits the GPU."""
        return {"required": {"model": ("MODEL",), "attention": ([CUDNN, COMFYUI], {"default": suited()})}}

    def set(self, model: Any, attention: str) -> tuple[Any]:
        """The model, patched or as it is."""
        if attention == CUDNN:
            model = model.clone()
            model.model_options["transformer_options"]["optimized_attention_override"] = attend
        return (model,)
