#!/usr/bin/env bash
# Builds the image of Dockerfile where there is no Docker engine and no registry, and tells each layer's size.
#
#   ops/build_without_docker.sh          then: buildah from avatar-api
#
# Needs root, and Debian's packages buildah and debootstrap. In place of the base image python:…-slim it takes a
# Debian of the same release with Debian's own Python, made here: the layers above it are those of the Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot
base=localhost/python-of-debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$work/root"
    ln -s python3 "$work/root/usr/bin/python"
    # This machine's authorities, in case its way to the package index has one of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$work/root/etc/pip.conf"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" /
    buildah commit --quiet --rm "$container" "$base"
fi

buildah build --layers --pull-never --network host --build-arg "PYTHON_IMAGE=$base" --tag avatar-api .

buildah push --quiet --compression-format gzip avatar-api "dir:$work/image"
python3 - "$work/image" <<'PYTHON'
import json, pathlib, sys

image = pathlib.Path(sys.argv[1])
manifest = json.loads((image / "manifest.json").read_text())
config = json.loads((image / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
made_by = [step["created_by"] for step in config["history"] if not step.get("empty_layer")]
for layer, step in zip(manifest["layers"], made_by, strict=True):
    print(f"{layer['size'] / 1e6:8.1f} MB  {step[:80]}")
PYTHON
