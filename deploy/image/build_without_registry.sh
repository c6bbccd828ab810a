#!/usr/bin/env bash
# Builds the Dockerfile where no container registry can be reached: deploy/image/build_without_registry.sh [buildah flags]
#
# debootstrap makes a clean root of the base's Debian release with its Python 3.11; that root takes the
# place of the base image, and buildah runs every step of the Dockerfile in it. Needs root and the Debian
# packages buildah and debootstrap. Flags go to `buildah build`, for example `--volume` for pip's own
# configuration. Variables: DEVICE (cpu or cuda), WORK (scratch folder), TAG.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/lib.sh

device=${DEVICE:-cpu}
work=${WORK:-/var/tmp/metacompress-image}
tag=${TAG:-localhost/metacompress:$device}
base=localhost/python:3.11-slim-bookworm
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}

for program in buildah debootstrap; do
    command -v "$program" >/dev/null || fail "$program is not installed; on Debian and Ubuntu: apt-get install $program"
done
[[ $(id -u) == 0 ]] || fail "debootstrap and buildah's chroot isolation need root"
store=(--root "$work/store" --runroot "$work/run")
mkdir -p "$work"

if ! buildah "${store[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    say "1/2 a clean Debian root in the place of the base image"
    rm -rf "$work/root"
    debootstrap --variant=minbase --include=python3.11,python3.11-venv,python3-distutils,ca-certificates \
        bookworm "$work/root" >"$work/debootstrap.log"
    container=$(buildah "${store[@]}" from scratch)
    buildah "${store[@]}" add --quiet "$container" "$work/root" /
    buildah "${store[@]}" config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$container"
    buildah "${store[@]}" commit --quiet --rm "$container" "$base"
fi
say "2/2 building $tag from the Dockerfile"
buildah "${store[@]}" build --isolation chroot --format docker --layers --pull-never \
    --build-arg BASE="$base" --build-arg DEVICE="$device" --tag "$tag" "$@" .
say "built $tag; deploy/image/try.sh starts it"
