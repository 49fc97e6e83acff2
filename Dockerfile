# The worker's image: ComfyUI at one commit in its own environment, the worker in another one, without torch.
# docker build .                          CUDA 12.8: hosts whose driver has CUDA 12.4 or later
# docker build --build-arg CUDA=cu130 .   CUDA 13.0: hosts whose driver has CUDA 13.0 or later
# docker build --target with-models .     the models inside; --build-arg MODEL_SETS=fast chooses which
# BuildKit builds it with the frontend that it brings: without a line "# syntax" none is fetched.
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
# LOCAL_HOST: without a queue of RunPod's the handler starts a local endpoint, to be reached through docker run -p.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/worker-venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COMFYUI_DIR=/comfyui \
    COMFYUI_PYTHON=/comfyui-venv/bin/python \
    COMFYUI_USER=comfyui \
    LOCAL_HOST=0.0.0.0
# hadolint ignore=DL3008 # the archive keeps only the latest version of each package
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && apt-get clean \
    && python3 --version && tini --version \
    && useradd --system --no-create-home --uid 990 --user-group comfyui \
    && ln -s /worker/requirements/install-node /usr/local/bin/
# The worker runs as root: a network volume belongs to root, and downloaded models are saved there for the next worker.
# ComfyUI runs as COMFYUI_USER.
# No HEALTHCHECK: RunPod does not run it, and a container whose ComfyUI stays down ends by itself.
WORKDIR /worker
EXPOSE 8188 8000
ENTRYPOINT ["/usr/bin/tini", "--", "/worker/builder.sh"]
CMD ["python", "-u", "handler.py"]

FROM system AS build
# hadolint ignore=DL3008
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends binutils git python3-venv \
    && apt-get clean \
    && python3 -m venv /build/pip
COPY requirements/layers.sh /build/
ENV PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_PROGRESS_BAR=off \
    PIP_NO_COMPILE=1 \
    PIP_NO_DEPS=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_REQUIRE_HASHES=1

FROM build AS locks
ARG CUDA
COPY requirements/comfyui-${CUDA}.txt /build/
RUN /build/layers.sh split /build/comfyui-${CUDA}.txt /build

# Torch apart from the rest of ComfyUI's environment: it is most of the bytes, and changes least.
FROM build AS torch
COPY --from=locks /build/torch.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/pip/bin/python -m pip install --target /torch -r /build/torch.txt \
    && /build/layers.sh strip /torch \
    && /build/layers.sh settle /torch python3

FROM torch AS comfyui-venv
COPY --from=locks /build/rest.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /comfyui-venv \
    && site=$(echo /comfyui-venv/lib/python3*/site-packages) \
    && echo /torch >"$site/torch.pth" \
    && "$COMFYUI_PYTHON" -m pip install -r /build/rest.txt \
    && /build/layers.sh strip "$site" \
    && "$COMFYUI_PYTHON" -m pip check \
    && "$COMFYUI_PYTHON" -c 'import torch, torchvision, torchaudio, triton; print("torch", torch.__version__, torch.version.cuda)' \
    && /build/layers.sh settle /comfyui-venv "$COMFYUI_PYTHON"

FROM comfyui-venv AS comfyui
COPY requirements/install_comfyui.sh /build/
# Unset, they are the script's: release 0.33.0.
ARG COMFYUI_REPOSITORY
ARG COMFYUI_COMMIT
RUN PIP_REQUIRE_HASHES=0 /build/install_comfyui.sh tree /comfyui /comfyui-venv \
    && rm -rf /comfyui/.git /comfyui/user \
    && /build/layers.sh settle /comfyui "$COMFYUI_PYTHON"

# Node packs of custom_nodes.toml, whose requirements come from the index, without hashes.
FROM comfyui AS nodes
COPY requirements/install_node.py requirements/custom_nodes.toml /build/
RUN if grep -q '^\[\[node_pack\]\]' /build/custom_nodes.toml; then \
        PIP_REQUIRE_HASHES=0 PIP_NO_DEPS=0 "$COMFYUI_PYTHON" /build/install_node.py \
            --comfyui /comfyui --owner "$COMFYUI_USER" --file /build/custom_nodes.toml \
        && rm -rf /comfyui/user \
        && /build/layers.sh settle /comfyui "$COMFYUI_PYTHON" \
        && /build/layers.sh settle /comfyui-venv "$COMFYUI_PYTHON"; \
    fi

FROM build AS worker-venv
COPY requirements/worker.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /worker-venv \
    && python -m pip install -r /build/worker.txt \
    && python -m pip check \
    && python -c "import runpod; print('runpod', runpod.__version__)" \
    && /build/layers.sh settle /worker-venv python

# The worker's own files, tried on what they run on.
FROM comfyui AS worker-files
COPY --from=worker-venv /worker-venv /worker-venv
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
RUN python -c "import handler, verify_setup" \
    && PYTHONPATH=/comfyui/custom_nodes "$COMFYUI_PYTHON" -c "import hunyuan_worker" \
    && bash -n builder.sh \
    && /build/layers.sh settle /worker python \
    && /build/layers.sh settle /comfyui/custom_nodes/hunyuan_worker "$COMFYUI_PYTHON"

# The models, downloaded to a volume and checked as at a worker's start.
FROM system AS models
COPY --from=worker-venv /worker-venv /worker-venv
COPY worker/__init__.py worker/catalogue.py worker/catalogue.toml worker/config.py worker/errors.py worker/logs.py worker/
COPY worker/models worker/models
ARG MODEL_SETS=default
ARG HF_ENDPOINT
# Other files than the published ones, as at a worker's start: docs/CONFIGURATION.md, Models.
ARG CLIP_VISION_URL
ARG CLIP1_URL
ARG CLIP2_URL
ARG HUNYUAN_VAE_URL
ARG HUNYUAN_UNET_URL
ARG HUNYUAN_FAST_UNET_URL
ARG HUNYUAN_UPSAMPLER_URL
ARG HUNYUAN_SR_UNET_URL
ARG HUNYUAN_UPSAMPLER_720P_URL
ARG HUNYUAN_SR_720P_UNET_URL
ARG RIFE_URL
RUN --mount=type=secret,id=hf_token \
    mkdir /volume /layers \
    && HF_TOKEN=$(cat /run/secrets/hf_token 2>/dev/null || true) VOLUME_DIR=/volume MODELS_DIR=/linked MODELS_MODE=LINK \
    python -m worker.models bring \
    && for file in /volume/models/*/*; do \
    target=/layers/${file##*/}/comfyui/${file#/volume/} && mkdir -p "${target%/*}" && mv "$file" "$target"; \
    done \
    && find /layers -exec touch --no-dereference --date=2000-01-01T00:00:00Z {} +

# One layer for each model, below all that changes more often. A pattern that matches nothing copies nothing. Whole paths
# are copied, here and below from the root: a folder that COPY had to make would have the build's time.
FROM system AS with-models
COPY --link --from=models /layers/sigclip* /
COPY --link --from=models /layers/qwen* /
COPY --link --from=models /layers/byt5* /
COPY --link --from=models /layers/hunyuanvideo15_vae* /
COPY --link --from=models /layers/*_720p_i2v_* /
COPY --link --from=models /layers/*_480p_i2v_* /
COPY --link --from=models /layers/*_720p_sr_* /
COPY --link --from=models /layers/*_1080p_sr_* /
COPY --link --from=models /layers/*_upsampler_720p* /
COPY --link --from=models /layers/*_upsampler_1080p* /
COPY --link --from=models /layers/rife* /
ARG MODEL_SETS=default
ENV MODEL_SETS=$MODEL_SETS
COPY --link --from=torch /torch /torch
COPY --link --from=nodes /comfyui-venv /comfyui-venv
COPY --link --from=nodes /comfyui /comfyui
COPY --link --from=worker-venv /worker-venv /worker-venv
COPY --link --from=worker-files /comfyui/custom_nodes/hunyuan_worker /comfyui/custom_nodes/hunyuan_worker
COPY --link --from=worker-files /worker /worker
ARG WORKER_VERSION=dev
ARG WORKER_COMMIT=unknown
ARG WORKER_SOURCE
ENV WORKER_VERSION=$WORKER_VERSION WORKER_COMMIT=$WORKER_COMMIT
LABEL org.opencontainers.image.title="HunyuanVideo 1.5 worker with models" \
      org.opencontainers.image.version=$WORKER_VERSION \
      org.opencontainers.image.revision=$WORKER_COMMIT \
      org.opencontainers.image.source=$WORKER_SOURCE

FROM system AS worker
COPY --link --from=torch /torch /torch
COPY --link --from=nodes /comfyui-venv /comfyui-venv
COPY --link --from=nodes /comfyui /comfyui
COPY --link --from=worker-venv /worker-venv /worker-venv
COPY --link --from=worker-files /comfyui/custom_nodes/hunyuan_worker /comfyui/custom_nodes/hunyuan_worker
COPY --link --from=worker-files /worker /worker
ARG WORKER_VERSION=dev
ARG WORKER_COMMIT=unknown
ARG WORKER_SOURCE
ENV WORKER_VERSION=$WORKER_VERSION WORKER_COMMIT=$WORKER_COMMIT
LABEL org.opencontainers.image.title="HunyuanVideo 1.5 worker" \
      org.opencontainers.image.version=$WORKER_VERSION \
      org.opencontainers.image.revision=$WORKER_COMMIT \
      org.opencontainers.image.source=$WORKER_SOURCE
