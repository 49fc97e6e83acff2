# docker buildx bake            the image for CUDA 12.8: torch 2.10.0, hosts with CUDA 12.4 or later
# docker buildx bake cu130      for CUDA 13.0: torch 2.14.1, hosts with CUDA 13.0 or later; faster on H100, H200 and B200
# docker buildx bake all        both
# docker buildx bake with-models    the default image with the models inside: MODEL_SETS=fast chooses which; HF_TOKEN is
#                               used for their download, and kept out of the image

variable "IMAGE" {
  default = "hunyuan-video-worker"
}

variable "WORKER_VERSION" {
  default = "dev"
}

variable "WORKER_COMMIT" {
  default = "unknown"
}

variable "WORKER_SOURCE" {
  default = ""
}

variable "MODEL_SETS" {
  default = "default"
}

group "default" {
  targets = ["cu128"]
}

group "all" {
  targets = ["cu128", "cu130"]
}

target "worker" {
  platforms = ["linux/amd64"]
  args = {
    WORKER_VERSION = WORKER_VERSION
    WORKER_COMMIT  = WORKER_COMMIT
    WORKER_SOURCE  = WORKER_SOURCE
  }
}

target "cu128" {
  inherits = ["worker"]
  args     = { CUDA = "cu128" }
  tags     = ["${IMAGE}:${WORKER_VERSION}"]
}

target "cu130" {
  inherits = ["worker"]
  args     = { CUDA = "cu130" }
  tags     = ["${IMAGE}:${WORKER_VERSION}-cu130"]
}

target "with-models" {
  inherits = ["worker"]
  target   = "with-models"
  args     = { CUDA = "cu128", MODEL_SETS = MODEL_SETS }
  secret   = ["id=hf_token,env=HF_TOKEN"]
  tags     = ["${IMAGE}:${WORKER_VERSION}-with-models"]
}
