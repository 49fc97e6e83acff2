# syntax=docker/dockerfile:1
# The worker's image: ComfyUI at one commit in its own environment, the worker in another one, without torch.
# docker build .                          CUDA 12.8: hosts whose driver has CUDA 12.4 or later
# docker build --build-arg CUDA=cu130 .   CUDA 13.0: hosts whose driver has CUDA 13.0 or later
ARG CUDA=cu128

# Not NVIDIA's images: torch's wheels bring the CUDA libraries, and what those images add stands in the way. They ask for
# their own CUDA release, where an older driver of the same major version runs its programs
# (https://docs.nvidia.com/deploy/cuda-compatibility/), and with such a driver the container runtime would mount their
# cuda-compat, which GeForce GPUs refuse (error 804, https://github.com/NVIDIA/nvidia-docker/issues/1515).
FROM ubuntu:24.04 AS base-cu128
ENV NVIDIA_REQUIRE_CUDA="cuda>=12.4"
FROM ubuntu:24.04 AS base-cu130
ENV NVIDIA_REQUIRE_CUDA="cuda>=13.0"

# hadolint ignore=DL3006 # both bases have a version
FROM base-${CUDA} AS system
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# hadolint ignore=DL3008 # the archive keeps only the latest version of each package
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && apt-get clean \
    && python3 --version && tini --version

FROM system AS build
# hadolint ignore=DL3008
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git python3-venv \
    && apt-get clean \
    && git --version && python3 -m venv --help >/dev/null

FROM build AS comfyui
ARG CUDA
COPY requirements/install_comfyui.sh requirements/comfyui-${CUDA}.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/install_comfyui.sh environment /opt/comfyui-venv /build/comfyui-${CUDA}.txt
# Unset, they are the script's: release 0.33.0.
ARG COMFYUI_REPOSITORY
ARG COMFYUI_COMMIT
RUN /build/install_comfyui.sh tree /comfyui /opt/comfyui-venv && rm -rf /comfyui/.git /comfyui/user

FROM build AS worker
COPY requirements/worker.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/worker-venv \
    && /opt/worker-venv/bin/python -m pip install --no-deps --only-binary :all: --require-hashes -r /build/worker.txt \
    && /opt/worker-venv/bin/python -m pip check \
    && /opt/worker-venv/bin/python -c "import runpod; print('runpod', runpod.__version__)"

# It runs as root: a network volume belongs to root, and downloaded models are saved there for the next worker.
FROM system
COPY --from=comfyui /opt/comfyui-venv /opt/comfyui-venv
COPY --from=comfyui /comfyui /comfyui
COPY --from=worker /opt/worker-venv /opt/worker-venv
# LOCAL_HOST: without a queue of RunPod's the handler starts a local endpoint, to be reached through docker run -p.
ENV PATH=/opt/worker-venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COMFYUI_DIR=/comfyui \
    COMFYUI_PYTHON=/opt/comfyui-venv/bin/python \
    LOCAL_HOST=0.0.0.0
WORKDIR /worker
COPY workflow_api.json builder.sh handler.py verify_setup.py ./
COPY requirements requirements
COPY checks checks
COPY worker worker
# Of the stand-ins, only the endpoint and its page: here it is ComfyUI that answers, never the preview engine.
COPY local/__init__.py local/laptop.py local/
COPY local/endpoint local/endpoint
COPY local/page local/page
COPY comfyui_nodes /comfyui/custom_nodes/hunyuan_worker
RUN python -m compileall -q . /comfyui/custom_nodes \
    && python -c "import handler, verify_setup" \
    && PYTHONPATH=/comfyui/custom_nodes "$COMFYUI_PYTHON" -c "import hunyuan_worker" \
    && bash -n builder.sh
EXPOSE 8188 8000
ENTRYPOINT ["/usr/bin/tini", "--", "/worker/builder.sh"]
CMD ["python", "-u", "handler.py"]

ARG WORKER_VERSION=dev
ARG WORKER_COMMIT=unknown
ENV WORKER_VERSION=$WORKER_VERSION WORKER_COMMIT=$WORKER_COMMIT
LABEL org.opencontainers.image.title="HunyuanVideo 1.5 worker" \
      org.opencontainers.image.version=$WORKER_VERSION \
      org.opencontainers.image.revision=$WORKER_COMMIT
