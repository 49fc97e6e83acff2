"""For tests only, never for the image: ComfyUI loads HunyuanVideo 1.5 files that are smaller than the published ones.

A folder for ComfyUI's custom_nodes/; it has no node. ComfyUI reads a transformer's and an upsampler's sizes from the
file, but builds Qwen, ByT5, SigLIP and the VAE in one size. Here each of their loaders runs with the class that it
builds replaced by one of the file's sizes. The published files have ComfyUI's own sizes: they load as ever.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import comfy.clip_vision
import comfy.sd
from comfy.ldm.hunyuan_video import vae_refiner
from comfy.text_encoders import llama, qwen_vl, t5

NODE_CLASS_MAPPINGS: dict[str, Any] = {}

Weights = Mapping[str, Any]
Replacement = tuple[Any, str, Any]
"""An owner, the name of its attribute, and what stands there meanwhile."""

QWEN_HEAD, BYT5_HEAD = 128, 64
SIGLIP_MARK = "vision_model.encoder.layers.22.layer_norm1.weight"


def count(weights: Weights, name: str) -> int:
    """How many of the names with 0, 1, 2 and so on in the place of {} there are."""
    number = 0
    while name.format(number) in weights:
        number += 1
    return number


def of_text_encoders(state_dicts: list[Weights], *_: Any, **__: Any) -> Iterator[Replacement]:
    """For comfy.sd.load_text_encoder_state_dicts."""
    for weights in state_dicts:
        if "model.embed_tokens.weight" in weights:
            yield llama, "Qwen25_7BVLI_Config", functools.partial(llama.Qwen25_7BVLI_Config, **qwen_sizes(weights))
            if not any(name.startswith("visual.") for name in weights):
                yield qwen_vl, "Qwen2VLVisionTransformer", lambda *_, **__: llama.torch.nn.Module()
        elif "encoder.block.0.layer.0.SelfAttention.q.weight" in weights:
            yield t5, "T5", with_config(t5.T5, byt5_sizes(weights))


def qwen_sizes(weights: Weights) -> dict[str, int]:
    """Fields of ComfyUI's configuration of Qwen."""
    layer = "model.layers.0."
    words, width = weights["model.embed_tokens.weight"].shape
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": weights[layer + "mlp.gate_proj.weight"].shape[0],
        "num_hidden_layers": count(weights, "model.layers.{}.input_layernorm.weight"),
        "num_attention_heads": weights[layer + "self_attn.q_proj.weight"].shape[0] // QWEN_HEAD,
        "num_key_value_heads": weights[layer + "self_attn.k_proj.weight"].shape[0] // QWEN_HEAD,
    }


def byt5_sizes(weights: Weights) -> dict[str, int]:
    """Entries of ComfyUI's configuration of ByT5."""
    return {
        "num_layers": count(weights, "encoder.block.{}.layer.0.layer_norm.weight"),
        "num_heads": weights["encoder.block.0.layer.0.SelfAttention.q.weight"].shape[0] // BYT5_HEAD,
        "d_ff": weights["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"].shape[0],
    }


def of_clip_vision(weights: dict[str, Any], *_: Any, **__: Any) -> Iterator[Replacement]:
    """For comfy.clip_vision.load_clipvision_from_sd, which tells SigLIP by its 23rd layer: it is lent one."""
    first = "vision_model.encoder.layers.0.layer_norm1.weight"
    if first not in weights or SIGLIP_MARK in weights:
        return
    sizes = {
        "num_hidden_layers": count(weights, "vision_model.encoder.layers.{}.layer_norm1.weight"),
        "intermediate_size": weights["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
    }
    weights[SIGLIP_MARK] = weights[first]
    kinds = comfy.clip_vision.IMAGE_ENCODERS
    tiny = with_config(kinds["siglip_vision_model"], sizes)
    yield comfy.clip_vision, "IMAGE_ENCODERS", {**kinds, "siglip_vision_model": tiny}


def of_vae(_: Any, sd: Weights, *__: Any, **___: Any) -> Iterator[Replacement]:
    """For comfy.sd.VAE's constructor."""
    name = "encoder.down.{}.block.0.conv1.conv.weight"
    if "decoder.conv_in.conv.weight" in sd and name.format(0) in sd:
        channels = [sd[name.format(stage)].shape[0] for stage in range(count(sd, name))]
        for kind in ("Encoder", "Decoder"):
            build = getattr(vae_refiner, kind)
            yield vae_refiner, kind, lambda build=build, **sizes: build(**{**sizes, "block_out_channels": channels})


def with_config(build: Callable[..., Any], sizes: Mapping[str, int]) -> Callable[..., Any]:
    """`build` with those entries in the configuration that it takes first."""
    return lambda config, *args, **kwargs: build({**config, **sizes}, *args, **kwargs)


def following(load: Callable[..., Any], choose: Callable[..., Iterator[Replacement]]) -> Callable[..., Any]:
    """The loader, with what `choose` yields for its arguments in place while it runs."""

    @functools.wraps(load)
    def load_in_file_size(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            for owner, name, meanwhile in list(choose(*args, **kwargs)):
                stack.enter_context(replaced(owner, name, meanwhile))
            return load(*args, **kwargs)

    return load_in_file_size


@contextmanager
def replaced(owner: Any, name: str, meanwhile: Any) -> Iterator[None]:
    """`meanwhile` in the attribute's place."""
    former = getattr(owner, name)
    setattr(owner, name, meanwhile)
    try:
        yield
    finally:
        setattr(owner, name, former)


comfy.sd.load_text_encoder_state_dicts = following(comfy.sd.load_text_encoder_state_dicts, of_text_encoders)
comfy.clip_vision.load_clipvision_from_sd = following(comfy.clip_vision.load_clipvision_from_sd, of_clip_vision)
comfy.sd.VAE.__init__ = following(comfy.sd.VAE.__init__, of_vae)
