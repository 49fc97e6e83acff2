#!/usr/bin/env bash
# Builds the worker's image, pushes it, rolls a RunPod endpoint over to it, and proves it with one job.
# Keeps to bash 3.2, the one of macOS.
set -Eeuo pipefail

readonly CHECK_FAILED=1 USAGE=2 BUILD_FAILED=3 PUSH_FAILED=4 ROLL_FAILED=5 JOB_FAILED=6

# usage: help
help() {
  cat <<'TEXT'
usage: build_and_deploy.sh [options] [-- arguments for docker buildx build]

Asks for anything that neither an option nor a variable sets.

  --image NAME     DEPLOY_IMAGE=NAME     repository: me/worker on Docker Hub, or registry.example:5000/me/worker
  --tag TAG        DEPLOY_TAG=TAG        default: version and commit, as in 0.1.0-1a2b3c4; never latest
  --push           DEPLOY_PUSH=yes       push the image
  --no-push        DEPLOY_PUSH=no        build only
  --endpoint ID    DEPLOY_ENDPOINT=ID    RunPod endpoint to roll over; the key is read from RUNPOD_API_KEY
  --deploy REF     DEPLOY_REF=REF        do not build: roll the endpoint over to this pushed image, or back to it
  --yes            DEPLOY_YES=yes        ask nothing: use the defaults
  --accept-license DEPLOY_ACCEPT_LICENSE=yes
                                         confirm that the model is not used in the EU, the UK or South Korea
  --dry-run        DEPLOY_DRY_RUN=yes    ask nothing, change nothing: print every check that is not met, and the plan
  -h, --help

With the models inside the image: build_and_deploy.sh [options] -- --target with-models --build-arg MODEL_SETS=fast

More variables: MIN_FREE_GB (40), ROLL_TIMEOUT (1800 s), ROLL_PAUSE between two checks (3 s), JOB_TIMEOUT (3600 s),
PYTHON (.venv/bin/python, or python3), RUNPOD_API_BASE (https://api.runpod.io/v2) and RUNPOD_JOBS_BASE
(https://api.runpod.ai/v2).

Exit codes: 0 done; 1 stopped by a check or an answer, nothing was changed; 2 wrong usage; 3 the build failed;
4 the push failed; 5 the endpoint's workers do not run the image; 6 they do, and the job failed.
TEXT
}

# usage: log TEXT
log() { printf '%s\n' "$*"; }

# usage: die EXIT_CODE TEXT
die() {
  printf 'build_and_deploy.sh: %s\n' "$2" >&2
  exit "$1"
}

# usage: refuse TEXT; a check is not met: nothing is changed. A dry run goes on, to show them all
refuse() {
  [[ $dry_run == yes ]] || die $CHECK_FAILED "$1"
  log "not met: $1"
  unmet=$((unmet + 1))
}

# usage: run COMMAND...; shows the command and, unless this is a dry run, runs it
run() {
  log "+$(printf ' %q' "$@")"
  [[ $dry_run == yes ]] || "$@"
}

# usage: quietly COMMAND...; at most 60 s where the system has timeout(1): macOS lacks it
quietly() {
  if command -v timeout >/dev/null; then set -- timeout 60 "$@"; fi
  "$@" </dev/null >/dev/null 2>&1
}

# usage: read_options ARGUMENT...
read_options() {
  image=${DEPLOY_IMAGE:-} tag=${DEPLOY_TAG:-} endpoint=${DEPLOY_ENDPOINT:-} deploy=${DEPLOY_REF:-}
  push=${DEPLOY_PUSH:-} yes=${DEPLOY_YES:-no} dry_run=${DEPLOY_DRY_RUN:-no} build_arguments=()
  accept_license=${DEPLOY_ACCEPT_LICENSE:-no} unmet=0
  while (($#)); do
    case $1 in
    --image | --tag | --endpoint | --deploy)
      [[ -n ${2:-} ]] || die $USAGE "$1 needs a value; see --help"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    --push) push=yes ;;
    --no-push) push=no ;;
    --yes) yes=yes ;;
    --accept-license) accept_license=yes ;;
    --dry-run) dry_run=yes yes=yes ;;
    -h | --help) help && exit ;;
    --) shift && build_arguments=("$@") && break ;;
    *) die $USAGE "unknown option $1; see --help" ;;
    esac
    shift
  done
  [[ $dry_run != yes ]] || yes=yes
}

# usage: ask VARIABLE OPTION QUESTION [DEFAULT]; keeps what an option or a variable has given
ask() {
  local answer=""
  [[ -z ${!1} ]] || return 0
  if [[ $yes != yes ]]; then
    printf '%s%s: ' "$3" "${4:+ [$4]}"
    read -r answer || [[ -n $answer ]] || die $CHECK_FAILED "no answer (no terminal?): give $2, or --yes"
  fi
  printf -v "$1" '%s' "${answer:-${4:-}}"
}

# usage: ask_build; sets ref, the image's full name
ask_build() {
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
  commit=$(git rev-parse HEAD 2>/dev/null) || die $CHECK_FAILED "not a git checkout: clone the repository and run it there"
  ask image --image "Image, as in me/hunyuan-video-worker"
  check_name
  ask tag --tag "Tag" "$version-${commit:0:7}"
  [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || die $USAGE "--tag $tag: a tag has letters, digits, _ . and -"
  [[ $tag != latest ]] || die $USAGE "--tag latest: workers cache images by name and keep the old one; use a version"
  ref=$image:$tag
  ask push --push "Push it? yes or no" yes
  case $push in
  [yY] | yes) push=yes ;;
  [nN] | no) push=no ;;
  *) die $USAGE "push is '$push': yes or no" ;;
  esac
  [[ $push == no ]] || ask endpoint --endpoint "RunPod endpoint to roll over, or empty for none"
  [[ $push == yes || -z $endpoint ]] || die $USAGE "an endpoint pulls what is pushed: drop --no-push or --endpoint"
}

# usage: check_name; sets registry, empty for Docker Hub
check_name() {
  local part='[a-z0-9]+([._-]+[a-z0-9]+)*' path=$image
  registry=""
  if [[ -z $image && $dry_run == yes ]]; then
    refuse "--image is missing"
    image=IMAGE
    return
  fi
  [[ -n $image ]] || die $USAGE "--image is missing; see --help"
  # The first part is a registry where it looks like a host: https://docs.docker.com/reference/cli/docker/image/tag/
  if [[ $image == */* && ${image%%/*} =~ ^([A-Za-z0-9-]+[.:][A-Za-z0-9.:-]*|localhost)$ ]]; then
    registry=${image%%/*} path=${image#*/}
  fi
  [[ $path != *@* ]] || die $USAGE "--image $image: a digest names a built image; roll over to it with --deploy"
  [[ $path != *:* ]] || die $USAGE "--image $image: give the tag with --tag"
  [[ $path != *[A-Z]* ]] || die $USAGE "--image $image: docker takes lowercase names only"
  [[ $path =~ ^$part(/$part)*$ ]] || die $USAGE "--image $image is not a valid name, such as me/worker or example.org:5000/me/worker"
  [[ $registry != docker.io ]] || registry=""
}

# usage: check_build; what build and push need
check_build() {
  [[ -z $(git status --porcelain) ]] ||
    refuse "the checkout has changes: commit or remove what 'git status' shows"
  if ! command -v docker >/dev/null; then
    refuse "docker is not installed: https://docs.docker.com/get-docker/"
    return
  fi
  if ! quietly docker version; then
    refuse "docker does not answer: start it, and see 'docker version'"
    return
  fi
  quietly docker buildx version || refuse "docker buildx is missing: install docker-buildx-plugin"
  check_space
  # With stored credentials the registry itself is asked; with none, and no terminal to type them on, this fails.
  [[ $push == no || $dry_run == yes ]] || quietly docker login ${registry:+"$registry"} ||
    refuse "the registry rejected your login: docker login${registry:+ $registry}"
}

# usage: check_space; on docker's disk where it can be seen, else on this one
check_space() {
  local folder free
  folder=$(docker info --format '{{.DockerRootDir}}')
  [[ -d $folder ]] || folder=$PWD
  free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1048576) }')
  ((free >= MIN_FREE_GB)) || refuse \
    "$folder has $free GB free and the build takes $MIN_FREE_GB: docker system prune, or set MIN_FREE_GB"
}

# usage: check_pushed; that the image of --deploy exists, as far as docker is here to ask its registry
check_pushed() {
  command -v docker >/dev/null || {
    log "docker is not installed: cannot check whether the registry has $ref"
    return
  }
  quietly docker buildx imagetools inspect "$ref" ||
    refuse "the registry does not show $ref: push it first, check the name, or docker login"
}

# usage: check_endpoint; sets previous, the image that the endpoint names now
check_endpoint() {
  previous=""
  if ! "$PYTHON" test_runpod_local.py --help >/dev/null; then
    refuse "$PYTHON cannot run test_runpod_local.py: make .venv/local, or set PYTHON"
    return
  fi
  if ! previous=$("${management[@]}" image "$endpoint"); then
    refuse "the endpoint cannot be used; nothing was changed"
    return
  fi
  [[ -n $deploy || $previous != "$ref" ]] ||
    refuse "workers keep the $ref that they have: give another --tag, or prove it with --deploy $ref"
}

# usage: confirm; the last question before anything changes
confirm() {
  local agreed=""
  log "The model's license (Tencent Hunyuan Community License) does not apply in the European Union, the United"
  log "Kingdom and South Korea: it grants no right to use the model or its clips there."
  if [[ $accept_license != yes && $yes == yes ]]; then
    refuse "confirm that this is only for other places: --accept-license"
  elif [[ $accept_license != yes ]]; then
    ask agreed --accept-license "Is this only for other places, and do you want to start? yes or no" no
    [[ $agreed == [yY]* ]] || die $CHECK_FAILED "stopped; nothing was changed"
  fi
}

# usage: build_image
build_image() {
  run docker buildx build --platform linux/amd64 --load --tag "$ref" \
    --build-arg "WORKER_VERSION=$version" --build-arg "WORKER_COMMIT=$commit" \
    ${build_arguments[@]+"${build_arguments[@]}"} . || die $BUILD_FAILED "the build failed; see above"
  [[ $push == no ]] || run docker push "$ref" ||
    die $PUSH_FAILED "the push of $ref failed; see above. The image is built, so running this again only pushes it"
}

# usage: roll_endpoint
roll_endpoint() {
  local back="To go back: ./build_and_deploy.sh --endpoint $endpoint --deploy $previous"
  log "The endpoint names $previous. $back"
  run "${management[@]}" --timeout "$ROLL_TIMEOUT" roll "$endpoint" "$ref" ||
    die $ROLL_FAILED "the workers do not run $ref. $back"
  run "$PYTHON" test_runpod_local.py sync --endpoint "$endpoint" --api-base "$RUNPOD_JOBS_BASE" \
    --frames 5 --resolution 480p --timeout "$JOB_TIMEOUT" --out outputs ||
    die $JOB_FAILED "the workers run $ref, and the job failed. $back"
}

# usage: main ARGUMENT...
main() {
  trap 'die $CHECK_FAILED "line $LINENO failed: $BASH_COMMAND"' ERR
  read_options "$@"
  cd "$(dirname "${BASH_SOURCE[0]}")"
  : "${MIN_FREE_GB:=40}" "${ROLL_TIMEOUT:=1800}" "${ROLL_PAUSE:=3}" "${JOB_TIMEOUT:=3600}"
  : "${RUNPOD_API_BASE:=https://api.runpod.io/v2}" "${RUNPOD_JOBS_BASE:=https://api.runpod.ai/v2}"
  [[ -x .venv/bin/python ]] && : "${PYTHON:=.venv/bin/python}"
  management=("${PYTHON:=python3}" -m client.management --base "$RUNPOD_API_BASE" --pause "$ROLL_PAUSE")
  if [[ -n $deploy ]]; then
    ref=$deploy
    [[ -n $endpoint ]] || die $USAGE "--deploy needs --endpoint"
    check_pushed
  else
    ask_build
    check_build
  fi
  [[ -z $endpoint ]] || check_endpoint
  confirm
  [[ -n $deploy ]] || build_image
  [[ -z $endpoint ]] || roll_endpoint
  if [[ $dry_run != yes ]]; then
    log "done: $ref"
  elif ((unmet)); then
    die $CHECK_FAILED "dry run: $unmet checks are not met, see above; nothing was changed"
  else
    log "dry run: nothing was changed"
  fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
