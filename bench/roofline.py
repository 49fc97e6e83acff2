"""The least seconds that a sampling step of HunyuanVideo 1.5 can take on a GPU, by its arithmetic.

The transformer (https://github.com/Tencent-Hunyuan/HunyuanVideo-1.5): 54 blocks of two streams, width 2048, MLPs of
four times that. A token is 16x16 pixels of 4 frames; the image through SigLIP adds 729, a prompt through Qwen some 200.
"""

BLOCKS, WIDTH = 54, 2048
PATCH, FRAMES = 16, 4
CONDITION_TOKENS = 729 + 200

PEAKS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.4,
    "H200": 989.4,
    "A100": 312.0,
    "L40S": 362.0,
    "RTX 4090": 165.2,
    "RTX 5090": 209.5,
}
"""TFLOP/s of dense 16-bit matrices with 32-bit sums, from NVIDIA's data sheets, by a part of nvidia-smi's name."""


def step_flop(width: int, height: int, frames: int) -> float:
    """The floating-point operations of one forward pass, for a clip of that size in pixels and 4k + 1 frames."""
    tokens = -(-width // PATCH) * -(-height // PATCH) * ((frames - 1) // FRAMES + 1) + CONDITION_TOKENS
    attention = 4 * tokens**2 * WIDTH  # queries by keys, and weights by values; 2 for a multiplication and a sum
    linear = 2 * tokens * 12 * WIDTH**2  # queries, keys and values 3, projection 1, MLP 8
    return float(BLOCKS * (attention + linear))


def find_peak(gpu: str) -> float | None:
    """The card's TFLOP/s; None: not known here."""
    return next((peak for name, peak in PEAKS.items() if name in gpu), None)
