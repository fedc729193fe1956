# A release gives the base image by its digest: --build-arg GO_IMAGE=golang:1.26-bookworm@sha256:…
ARG GO_IMAGE=golang:1.26-bookworm

# The compiler runs on the machine's own architecture and writes for the image's.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# Without a version the program shows what Go knows of the commit.
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    GOCACHE=/go/build-cache GOOS=$TARGETOS GOARCH=$TARGETARCH .ci/build /out/wxsidecar \
 && mkdir -p /out/data /out/licenses \
 && cp LICENSE THIRD_PARTY_LICENSES /out/licenses \
 && echo "wxsidecar:x:65532:65532:wxsidecar:/data:/sbin/nologin" > /out/passwd

# Nothing but the program, the roots that it trusts, and a user without rights.
FROM scratch
ARG VERSION
# The commit, and its time (RFC 3339): the same source gives the same labels.
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="wxsidecar" \
      org.opencontainers.image.description="A token broker for WeChat's API that runs beside your app" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/wxsidecar/wxsidecar" \
      org.opencontainers.image.documentation="https://github.com/wxsidecar/wxsidecar/blob/main/README.md" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /etc/passwd
COPY --from=build /out/licenses /licenses
COPY --from=build /out/wxsidecar /wxsidecar
COPY --from=build --chown=65532:65532 /out/data /data
# The default store is a file in the working directory; a variable for it would
# beat the store of a configuration file.
WORKDIR /data
VOLUME ["/data"]
USER 65532:65532
# apps and admin (7080, 7083) listen on 127.0.0.1: the containers of one pod share
# it. To WeChat and Prometheus:
EXPOSE 7081 7082
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/wxsidecar", "health"]
ENTRYPOINT ["/wxsidecar"]
CMD ["serve"]
