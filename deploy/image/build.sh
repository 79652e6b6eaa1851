#!/bin/sh
# Builds the static binary of the image, in the Dockerfile and in tests/image.rs:
#
#   build.sh amd64|arm64 OUTPUT
#
# Run in the root of the sources. Needs Rust with the target's standard library, cargo-auditable, and requirements.txt.
# Nothing of the machine that builds goes in: no paths, no times, and no order in which threads end.
set -eu

case "$1" in
amd64) target=x86_64-unknown-linux-musl ;;
arm64) target=aarch64-unknown-linux-musl ;;
*) echo "build.sh: amd64 or arm64, not $1" >&2 && exit 2 ;;
esac

export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
# No paths of the building machine in messages and panics.
export RUSTFLAGS="-Ctarget-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
# Debug symbols are half of the image. (The profile's one unit of code leaves nothing to the order in which threads end.)
export CARGO_PROFILE_DIST_STRIP=symbols
export CARGO_INCREMENTAL=0

# Auditable: the list of what was compiled in is a section of the binary, which scanners and SBOM tools read.
cargo auditable zigbuild --locked --profile dist --bin endpointlag --target "$target"

mkdir -p "$(dirname "$2")"
cp "${CARGO_TARGET_DIR:-target}/$target/dist/endpointlag" "$2"
