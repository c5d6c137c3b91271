#!/usr/bin/env bash
# Builds the plugin for CLIProxyAPI and packs it as its plugin store wants it:
#
#   deploy/cliproxy/build.sh VERSION [DIRECTORY]
#
#   DIRECTORY/abeyance_VERSION_OS_ARCH.zip   the library, this directory's README, the licence
#   DIRECTORY/checksums.txt                  SHA-256 of every zip in the directory
#
# for this machine, or with GOOS, GOARCH and a C compiler as CC for another. Run it once
# for each platform with the same directory, and put all the files into one release.
# The same sources, Go version and C compiler give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=${1:?usage: deploy/cliproxy/build.sh VERSION [DIRECTORY]}
version=${version#v}
out=${2:-dist}
if ! [[ $version =~ ^[0-9][0-9A-Za-z.+-]*$ ]]; then
  echo "the version $version does not begin with a digit, as the host wants it" >&2
  exit 2
fi
os=$(go env GOOS) arch=$(go env GOARCH)
case $os in
  darwin) library=abeyance.dylib ;;
  windows) library=abeyance.dll ;;
  *) library=abeyance.so ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=1 go build -trimpath -buildvcs=false -buildmode=c-shared \
  -ldflags "-s -w -buildid= -X main.release=$version" -o "$work/$library" ./cmd/abeyance-cliproxy
mkdir -p "$out"
# The tool runs here, whatever it packs for.
GOOS='' GOARCH='' CC='' go run ./cmd/abeyance-cliproxy/pack "$out" "abeyance_${version}_${os}_${arch}.zip" \
  "$work/$library" deploy/cliproxy/README.md LICENSE
