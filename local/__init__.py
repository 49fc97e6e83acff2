"""Stand-ins for a laptop without GPU, RunPod or ComfyUI; each says that it is one wherever it shows."""
