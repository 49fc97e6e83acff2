"""Which attention kernel suits which GPU."""

import pytest

from comfyui_nodes.attention import choose


@pytest.mark.parametrize(
    ("gpu", "capability", "cudnn", "chosen"),
    [
        ("H100, H200; torch 2.14.1 for CUDA 13", (9, 0), 92400, "cudnn"),
        ("H100, the first sound cuDNN", (9, 0), 91501, "cudnn"),
        ("H100, the last unsound cuDNN", (9, 0), 91500, "comfyui"),
        ("H100; torch 2.10.0 for CUDA 12.8", (9, 0), 91002, "comfyui"),
        ("H100, no cuDNN", (9, 0), None, "comfyui"),
        ("B200", (10, 0), 92400, "cudnn"),
        ("B300", (10, 3), 92400, "comfyui"),
        ("RTX 5090", (12, 0), 92400, "comfyui"),
        ("RTX 4090, L40S", (8, 9), 92400, "comfyui"),
        ("A100", (8, 0), 92400, "comfyui"),
        ("A40, RTX 3090", (8, 6), 92400, "comfyui"),
        ("T4", (7, 5), 92400, "comfyui"),
        ("no GPU", None, 92400, "comfyui"),
    ],
)
def test_cudnn_is_chosen_where_it_is_faster_and_sound(gpu, capability, cudnn, chosen):
    assert choose(capability, cudnn) == chosen, gpu
