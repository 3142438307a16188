# syntax=docker/dockerfile:1

# The image holds one static program and its licence, nothing else.
#
#   docker buildx build -t ghcr.io/native-sidecar/native-sidecar:0.1.0 --load .
#
# For both platforms, with the same bytes whenever it is built:
#
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#     --output type=oci,dest=image.tar,rewrite-timestamp=true .
#
# Without Docker: scripts/oci-image packs the same image from a static binary.

# The SBOM of the program: --target sbom --output type=local,dest=FOLDER

# The compiler runs on the builder's own platform and cross-compiles; under
# emulation the build would take many times as long.
#
# The tag is for people, the digest (of both platforms) decides. The version is `rust-version` of Cargo.toml. Dependabot
# raises what it finds in this line, so no ARG.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
ARG BUILDARCH
ARG TARGETARCH
WORKDIR /build

# glibc linked statically rather than musl: the C library and memory allocator
# that the tests run with, and musl's allocator is slow with several threads.
RUN <<EOF
set -eu
case $TARGETARCH in
  amd64) target=x86_64-unknown-linux-gnu compiler=gcc-x86-64-linux-gnu libc=libc6-dev-amd64-cross ;;
  arm64) target=aarch64-unknown-linux-gnu compiler=gcc-aarch64-linux-gnu libc=libc6-dev-arm64-cross ;;
  *) echo "no build for $TARGETARCH: only amd64 and arm64" >&2; exit 1 ;;
esac
echo "$target" >/target
rustup target add "$target"
if [ "$TARGETARCH" != "$BUILDARCH" ]; then
  apt-get update
  apt-get install --yes --no-install-recommends "$compiler" "$libc"
  rm -rf /var/lib/apt/lists/*
fi
EOF

COPY . .

# The caches keep downloaded and compiled dependencies between builds, so that a
# change of src/ compiles this crate alone. The result is copied out of them.
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target,id=native-sidecar-target-$TARGETARCH,sharing=locked <<EOF
set -eu
target=$(cat /target)
scripts/release-build /dist "$target"
install -D -m 0755 /dist/native-sidecar /out/native-sidecar
install -D -m 0644 LICENSE /out/LICENSE
install -D -m 0644 /dist/native-sidecar.cdx.json /sbom/native-sidecar.cdx.json
# A dynamically linked program would not start in an empty image.
if readelf --program-headers --wide /out/native-sidecar | grep -q INTERP; then
  echo "the program is linked dynamically" >&2
  exit 1
fi
EOF

FROM scratch AS sbom
COPY --link --from=build /sbom/ /

FROM scratch
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="native-sidecar" \
      org.opencontainers.image.description="Kubernetes admission webhook that turns sidecar containers into native sidecars" \
      org.opencontainers.image.source="https://github.com/native-sidecar/native-sidecar" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --link --from=build /out/ /
# A number, so that the kubelet can prove runAsNonRoot.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/native-sidecar"]
