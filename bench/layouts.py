"""The tensors of HunyuanVideo 1.5's model files, in the widths and depths asked for.

Names and shapes are those that ComfyUI 0.8.0 reads (comfy/ldm/hunyuan_video, comfy/text_encoders, comfy/clip_model.py).
Matrices are random with a deviation of 1 / sqrt(inputs): what goes through them neither grows nor vanishes. Widths that
are not arguments are fixed by what reads the file, in tiny models too.
"""

import math
from collections.abc import Iterator
from typing import Any

from bench.safetensors import FP8_DEVIATION, Tensor

LATENT = 32  # channels of the VAE's latent
HEAD = 128  # width of an attention head, in the transformer and in Qwen
SIGLIP = 1152  # SigLIP so400m's width, by which ComfyUI tells 1.5 from 1.0
PATCHES = 27 * 27  # of 14 pixels on 384
RIFE_HEAD = 4  # features of an image
BYT5 = 1472
MAPPED = 2048  # inside the mapper of ByT5's output
QWEN_EYE = 1280  # Qwen's own image half: read with the file, never run
QWEN_EYE_MLP = 3420
QWEN_WORDS = 152_064  # the tokenizer's ids must fit
BYT5_WORDS = 1510

Tensors = Iterator[Tensor]


def transformer(*, width: int, blocks: int, text: int, inputs: int, average_velocity: bool) -> Tensors:
    """The diffusion transformer, in scaled fp8.

    text: the width of Qwen's output. inputs: channels, 65 (latent, picture and mask) or 98 for super-resolution.
    average_velocity: whether it takes a step's end as well as its start, as the models of few steps do.
    """
    yield from _plain("img_in.proj", (width, inputs, 1, 1, 1))
    for name in ("time_in", "time_r_in") if average_velocity else ("time_in",):
        yield from _embedder(name, 256, width)
    yield from _text_refiner("txt_in.", text, width)
    for block in range(blocks):
        for side in ("img", "txt"):
            yield from _stream(f"double_blocks.{block}.{side}_", width)
    yield from _norm("byt5_in.layernorm", BYT5)
    yield from _scaled("byt5_in.fc1", BYT5, MAPPED)
    yield from _scaled("byt5_in.fc2", MAPPED, MAPPED)
    yield from _scaled("byt5_in.fc3", MAPPED, width)
    yield from _norm("vision_in.proj.0", SIGLIP)
    yield from _scaled("vision_in.proj.1", SIGLIP, SIGLIP)
    yield from _scaled("vision_in.proj.3", SIGLIP, width)
    yield from _norm("vision_in.proj.4", width)
    yield _matrix("cond_type_embedding", (3, width))
    yield from _scaled("final_layer.linear", width, LATENT)
    yield from _scaled("final_layer.adaLN_modulation.1", width, 2 * width)
    # ComfyUI knows fp8 files by this one; its two values say that they are multiplied in 16 bits.
    yield Tensor("scaled_fp8", "F8_E4M3", (2,))


def lora(*, width: int, blocks: int, rank: int = 4, **_others: Any) -> Tensors:
    """A LoRA of the transformer's attention, strong enough to be seen."""
    for block in range(blocks):
        name = f"diffusion_model.double_blocks.{block}.img_attn.qkv"
        yield _matrix(name + ".lora_A", (rank, width))
        yield _matrix(name + ".lora_B", (3 * width, rank))


def _text_refiner(prefix: str, text: int, width: int) -> Tensors:
    yield from _scaled(prefix + "input_embedder", text, width)
    yield from _embedder(prefix + "t_embedder", 256, width)
    yield from _embedder(prefix + "c_embedder", text, width)
    for block in range(2):
        name = f"{prefix}individual_token_refiner.blocks.{block}."
        yield from _norm(name + "norm1", width)
        yield from _scaled(name + "self_attn.qkv", width, 3 * width)
        yield from _scaled(name + "self_attn.proj", width, width)
        yield from _norm(name + "norm2", width)
        yield from _scaled(name + "mlp.0", width, 4 * width)
        yield from _scaled(name + "mlp.2", 4 * width, width)
        yield from _scaled(name + "adaLN_modulation.1", width, 2 * width)


def _stream(name: str, width: int) -> Tensors:
    yield from _scaled(name + "mod.lin", width, 6 * width)
    yield from _scaled(name + "attn.qkv", width, 3 * width)
    yield from (_vector(f"{name}attn.norm.{kind}_norm.scale", HEAD, 1) for kind in ("query", "key"))
    yield from _scaled(name + "attn.proj", width, width)
    yield from _scaled(name + "mlp.0", width, 4 * width)
    yield from _scaled(name + "mlp.2", 4 * width, width)


def _embedder(name: str, inputs: int, width: int) -> Tensors:
    yield from _scaled(name + ".in_layer", inputs, width)
    yield from _scaled(name + ".out_layer", width, width)


def qwen(*, width: int, layers: int, heads: int, groups: int, mlp: int, eye_layers: int) -> Tensors:
    """Qwen2.5-VL, in scaled fp8, with the inputs' factors too: ComfyUI multiplies its text encoders in 16 bits.

    groups: heads of keys and values. eye_layers: of its image half; 0 leaves it and the output layer out.
    """
    yield _matrix("model.embed_tokens", (QWEN_WORDS, width), deviation=1)
    yield _vector("model.norm.weight", width, 1)
    for layer in range(layers):
        yield from _qwen_layer(f"model.layers.{layer}.", width, heads * HEAD, groups * HEAD, mlp)
    if eye_layers:
        yield _matrix("lm_head", (QWEN_WORDS, width))
        yield from _qwen_eye("visual.", width, eye_layers)
    yield Tensor("scaled_fp8", "F8_E4M3", (0,))


def _qwen_layer(name: str, width: int, queries: int, keys: int, mlp: int) -> Tensors:
    yield _vector(name + "input_layernorm.weight", width, 1)
    yield _vector(name + "post_attention_layernorm.weight", width, 1)
    shapes = {"q": (width, queries), "k": (width, keys), "v": (width, keys), "o": (queries, width)}
    for kind, (inputs, outputs) in shapes.items():
        yield from _scaled_both(f"{name}self_attn.{kind}_proj", inputs, outputs, bias=kind != "o")
    for kind, (inputs, outputs) in {"gate": (width, mlp), "up": (width, mlp), "down": (mlp, width)}.items():
        yield from _scaled_both(f"{name}mlp.{kind}_proj", inputs, outputs, bias=False)


def _qwen_eye(prefix: str, width: int, layers: int) -> Tensors:
    yield _matrix(prefix + "patch_embed.proj", (QWEN_EYE, 3, 2, 14, 14))
    for layer in range(layers):
        name = f"{prefix}blocks.{layer}."
        yield from (_vector(f"{name}norm{number}.weight", QWEN_EYE, 1) for number in (1, 2))
        yield from _scaled_both(name + "attn.qkv", QWEN_EYE, 3 * QWEN_EYE)
        yield from _scaled_both(name + "attn.proj", QWEN_EYE, QWEN_EYE)
        yield from _scaled_both(name + "mlp.gate_proj", QWEN_EYE, QWEN_EYE_MLP)
        yield from _scaled_both(name + "mlp.up_proj", QWEN_EYE, QWEN_EYE_MLP)
        yield from _scaled_both(name + "mlp.down_proj", QWEN_EYE_MLP, QWEN_EYE)
    yield _vector(prefix + "merger.ln_q.weight", QWEN_EYE, 1)
    yield from _scaled_both(prefix + "merger.mlp.0", 4 * QWEN_EYE, 4 * QWEN_EYE)
    yield from _scaled_both(prefix + "merger.mlp.2", 4 * QWEN_EYE, width)


def byt5(*, layers: int, heads: int, mlp: int) -> Tensors:
    """The encoder of ByT5-small: it runs for what a text prompt has in quotation marks."""
    yield _matrix("shared", (BYT5_WORDS, BYT5), deviation=1)
    for layer in range(layers):
        name = f"encoder.block.{layer}.layer."
        for kind in "qkv":
            yield _matrix(f"{name}0.SelfAttention.{kind}", (heads * 64, BYT5))
        yield _matrix(name + "0.SelfAttention.o", (BYT5, heads * 64))
        if layer == 0:
            yield _matrix(name + "0.SelfAttention.relative_attention_bias", (32, heads))
        yield _vector(name + "0.layer_norm.weight", BYT5, 1)
        yield _matrix(name + "1.DenseReluDense.wi_0", (mlp, BYT5))
        yield _matrix(name + "1.DenseReluDense.wi_1", (mlp, BYT5))
        yield _matrix(name + "1.DenseReluDense.wo", (BYT5, mlp))
        yield _vector(name + "1.layer_norm.weight", BYT5, 1)
    yield _vector("encoder.final_layer_norm.weight", BYT5, 1)


def siglip(*, layers: int, mlp: int, pooling: bool) -> Tensors:
    """The image half of SigLIP so400m. pooling: with its pooling head, which is read with the file and never run."""
    prefix = "vision_model."
    yield from _plain(prefix + "embeddings.patch_embedding", (SIGLIP, 3, 14, 14))
    yield _matrix(prefix + "embeddings.position_embedding", (PATCHES, SIGLIP))
    for layer in range(layers):
        name = f"{prefix}encoder.layers.{layer}."
        yield from _norm(name + "layer_norm1", SIGLIP)
        for kind in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _plain(f"{name}self_attn.{kind}", (SIGLIP, SIGLIP))
        yield from _norm(name + "layer_norm2", SIGLIP)
        yield from _plain(name + "mlp.fc1", (mlp, SIGLIP))
        yield from _plain(name + "mlp.fc2", (SIGLIP, mlp))
    yield from _norm(prefix + "post_layernorm", SIGLIP)
    if pooling:
        yield from _pooling_head(prefix + "head.", mlp)


def _pooling_head(prefix: str, mlp: int) -> Tensors:
    yield Tensor(prefix + "probe", "F16", (1, 1, SIGLIP), 1)
    yield Tensor(prefix + "attention.in_proj_weight", "F16", (3 * SIGLIP, SIGLIP), SIGLIP**-0.5)
    yield _vector(prefix + "attention.in_proj_bias", 3 * SIGLIP)
    yield from _plain(prefix + "attention.out_proj", (SIGLIP, SIGLIP))
    yield from _norm(prefix + "layernorm", SIGLIP)
    yield from _plain(prefix + "mlp.fc1", (mlp, SIGLIP))
    yield from _plain(prefix + "mlp.fc2", (SIGLIP, mlp))


def vae(*, channels: tuple[int, ...]) -> Tensors:
    """The causal 3D autoencoder: 16 times smaller in space, 4 times in time. channels: of its stages, pixels first."""
    yield from _conv("encoder.conv_in.conv", 3, channels[0])
    last = len(channels) - 1
    width = channels[0]
    for stage, wide in enumerate(channels):
        yield from _stage(f"encoder.down.{stage}.", width, wide, blocks=2)
        width = channels[min(stage + 1, last)]
        if stage < last:
            folded = 8 if stage >= last - 2 else 4  # positions that become one; the last two halve time as well
            yield from _conv(f"encoder.down.{stage}.downsample.conv.conv", wide, width // folded)
    yield from _middle("encoder.mid.", width)
    yield _gamma("encoder.norm_out", width)
    yield from _conv("encoder.conv_out.conv", width, 2 * LATENT)
    yield from _decoder("decoder.", channels[::-1])


def _decoder(prefix: str, channels: tuple[int, ...]) -> Tensors:
    yield from _conv(prefix + "conv_in.conv", LATENT, channels[0])
    yield from _middle(prefix + "mid.", channels[0])
    last = len(channels) - 1
    width = channels[0]
    for stage, wide in enumerate(channels):
        yield from _stage(f"{prefix}up.{stage}.", width, wide, blocks=3)
        width = channels[min(stage + 1, last)]
        if stage < last:
            yield from _conv(f"{prefix}up.{stage}.upsample.conv.conv", wide, width * (8 if stage < 2 else 4))
    yield _gamma(prefix + "norm_out", width)
    yield from _conv(prefix + "conv_out.conv", width, 3)


def _middle(prefix: str, width: int) -> Tensors:
    yield from _residual(prefix + "block_1.", width, width)
    yield _gamma(prefix + "attn_1.norm", width)
    for kind in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{prefix}attn_1.{kind}", width, width, kernel=1)
    yield from _residual(prefix + "block_2.", width, width)


def upsampler(*, channels: tuple[int, ...]) -> Tensors:
    """What makes a latent of 720p one of 1080p. The published file's size is that of 32-bit values."""
    parts: list[Tensor] = [*_conv("conv_in.conv", LATENT, channels[0])]
    width = channels[0]
    for stage, wide in enumerate(channels):
        parts += _stage(f"up.{stage}.", width, wide, blocks=3, shortcut="nin_shortcut")
        width = wide
    parts += [_gamma("norm_out", width), *_conv("conv_out.conv", width, LATENT)]
    yield from (Tensor(part.name, "F32", part.shape, part.deviation, part.value) for part in parts)


def upsampler_of_few_stages(*, width: int, blocks: int) -> Tensors:
    """What makes a latent of 480p one of 720p: 3D convolutions in blocks of three, in 32-bit values."""
    parts = [*_conv("in_conv.conv", LATENT, width), *_conv("out_conv.conv", width, LATENT)]
    for block in range(blocks):
        for place in (0, 2, 4):  # between them are activations
            parts += _conv(f"blocks.{block}.block.{place}.conv", width, width)
    yield from (Tensor(part.name, "F32", part.shape, part.deviation, part.value) for part in parts)


def rife(*, channels: tuple[int, ...]) -> Tensors:
    """RIFE 4.26, which draws frames between two, in 32-bit values. channels: of its five blocks, coarse to fine."""
    parts: list[Tensor] = []
    for number, (inputs, outputs) in enumerate(((3, 16), (16, 16), (16, 16))):
        parts += _plain(f"encode.cnn{number}", (outputs, inputs, 3, 3))
    parts += _transposed("encode.cnn3", 16, RIFE_HEAD)
    for block, width in enumerate(channels):
        # both images, their features and the time; behind the first block also its flow, mask and 8 features
        inputs = 2 * 3 + 2 * RIFE_HEAD + 1 + (0 if block == 0 else 4 + 1 + 8)
        parts += _plain(f"blocks.{block}.conv0.0.0", (width // 2, inputs, 3, 3))
        parts += _plain(f"blocks.{block}.conv0.1.0", (width, width // 2, 3, 3))
        for layer in range(8):
            parts += _plain(f"blocks.{block}.convblock.{layer}.conv", (width, width, 3, 3))
            parts.append(Tensor(f"blocks.{block}.convblock.{layer}.beta", "F16", (1, width, 1, 1), value=1))
        parts += _transposed(f"blocks.{block}.lastconv.0", width, 4 * 13)
    yield from (Tensor(part.name, "F32", part.shape, part.deviation, part.value) for part in parts)


def _transposed(name: str, inputs: int, outputs: int) -> Tensors:
    """A transposed convolution of 4x4."""
    yield _matrix(name, (inputs, outputs, 4, 4))
    yield _vector(name + ".bias", outputs)


def _stage(prefix: str, inputs: int, width: int, blocks: int, shortcut: str = "nin_shortcut.conv") -> Tensors:
    for block in range(blocks):
        yield from _residual(f"{prefix}block.{block}.", inputs if block == 0 else width, width, shortcut)


def _residual(prefix: str, inputs: int, width: int, shortcut: str = "nin_shortcut.conv") -> Tensors:
    yield _gamma(prefix + "norm1", inputs)
    yield from _conv(prefix + "conv1.conv", inputs, width)
    yield _gamma(prefix + "norm2", width)
    yield from _conv(prefix + "conv2.conv", width, width)
    if inputs != width:
        yield from _conv(prefix + shortcut, inputs, width, kernel=1)


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Tensors:
    return _plain(name, (outputs, inputs, kernel, kernel, kernel))


def _gamma(name: str, width: int) -> Tensor:
    return Tensor(name + ".gamma", "F16", (width, 1, 1, 1), value=1)


def _plain(name: str, shape: tuple[int, ...]) -> Tensors:
    """A layer of 16 bits, with a bias."""
    yield _matrix(name, shape)
    yield _vector(name + ".bias", shape[0])


def _scaled(name: str, inputs: int, outputs: int, bias: bool = True) -> Tensors:
    """A linear layer in fp8, with the factor that brings its values to a deviation of 1 / sqrt(inputs)."""
    yield Tensor(name + ".weight", "F8_E4M3", (outputs, inputs), FP8_DEVIATION)
    yield Tensor(name + ".scale_weight", "F32", (), value=inputs**-0.5 / FP8_DEVIATION)
    if bias:
        yield _vector(name + ".bias", outputs)


def _scaled_both(name: str, inputs: int, outputs: int, bias: bool = True) -> Tensors:
    """The same with the factor of its inputs, for inputs of a deviation of about 1."""
    yield from _scaled(name, inputs, outputs, bias)
    yield Tensor(name + ".scale_input", "F32", (), value=1 / FP8_DEVIATION)


def _norm(name: str, width: int) -> Tensors:
    yield _vector(name + ".weight", width, 1)
    yield _vector(name + ".bias", width)


def _vector(name: str, width: int, value: float = 0) -> Tensor:
    return Tensor(name, "F16", (width,), value=value)


def _matrix(name: str, shape: tuple[int, ...], deviation: float | None = None) -> Tensor:
    return Tensor(name + ".weight", "F16", shape, deviation or math.prod(shape[1:]) ** -0.5)
