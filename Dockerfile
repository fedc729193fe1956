FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    GOCACHE=/go/build-cache .ci/build /out/wxsidecar \
 && mkdir -p /out/data \
 && echo "wxsidecar:x:65532:65532:wxsidecar:/data:/sbin/nologin" > /out/passwd

# Nothing but the program, the roots that it trusts, and a user without rights.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /etc/passwd
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
