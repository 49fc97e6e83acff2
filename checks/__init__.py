"""What verify_setup.py looks at; the modules load with the standard library alone, so that a bare Python is told.

place     the container or laptop that is looked at, and what a check finds there
software  Python, packages, the SDK, the handler, what keeps it from taking jobs
comfyui   ComfyUI and what the default graph needs of it
machine   models, volume, disk, memory, GPU
bucket    where finished files go
"""
