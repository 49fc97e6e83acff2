# docker buildx bake            the image for CUDA 12.4: torch 2.6.0, GPUs up to Hopper (RTX 4090, L40S, H100), drivers from 550
# docker buildx bake cu128      for CUDA 12.8: torch 2.9.1, the stable release of ComfyUI 0.8.0's time; adds Blackwell
#                               (RTX 5090, RTX PRO 6000, B200), which torch 2.6.0 has no kernels for; drivers from 570
# docker buildx bake all        both

variable "IMAGE" {
  default = "hunyuan-video-worker"
}

variable "WORKER_VERSION" {
  default = "dev"
}

variable "WORKER_COMMIT" {
  default = "unknown"
}

group "default" {
  targets = ["cu124"]
}

group "all" {
  targets = ["cu124", "cu128"]
}

target "worker" {
  platforms = ["linux/amd64"]
  args = {
    WORKER_VERSION = WORKER_VERSION
    WORKER_COMMIT  = WORKER_COMMIT
  }
}

target "cu124" {
  inherits = ["worker"]
  args     = { CUDA = "cu124" }
  tags     = ["${IMAGE}:${WORKER_VERSION}"]
}

target "cu128" {
  inherits = ["worker"]
  args     = { CUDA = "cu128" }
  tags     = ["${IMAGE}:${WORKER_VERSION}-cu128"]
}
