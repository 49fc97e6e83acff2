"""The worker: one RunPod job in, a HunyuanVideo 1.5 clip and its frames out, through ComfyUI."""
