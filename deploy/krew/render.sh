#!/usr/bin/env bash
# Prints the krew manifest of a release: deploy/krew/render.sh VERSION OWNER/REPOSITORY CHECKSUMS
# CHECKSUMS is the output of sha256sum over the release's archives.
set -euo pipefail
version=$1 repository=$2 checksums=$3

cat <<MANIFEST
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: endpointlag
spec:
  version: $version
  homepage: https://github.com/$repository
  shortDescription: Measure how long endpoints lag behind pods
  description: |
    Measures how long Kubernetes takes to carry a pod's readiness into the EndpointSlices of its Services, and how long they still
    list a pod that is going away. Needs permission to list and watch pods, Services and EndpointSlices.

      kubectl endpointlag watch -n shop checkout
      kubectl endpointlag advise -n shop checkout
  platforms:
MANIFEST
for architecture in amd64 arm64; do
    archive="endpointlag-$version-linux-$architecture.tar.gz"
    sha256=$(awk -v archive="$archive" '$2 == archive { print $1 }' "$checksums")
    [ -n "$sha256" ] || { echo "no checksum of $archive in $checksums" >&2; exit 1; }
    cat <<PLATFORM
    - selector:
        matchLabels: {os: linux, arch: $architecture}
      uri: https://github.com/$repository/releases/download/$version/$archive
      sha256: $sha256
      bin: endpointlag
PLATFORM
done
