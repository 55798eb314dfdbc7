# Builds the executable, and an image that has only what the executable needs: no shell and no package manager.
# docs/operate/deployment.md shows how to run the image. These two images may come from a mirror of your own.
ARG BUILD_IMAGE=docker.io/library/node:22.22.0-bookworm-slim@sha256:dd9d21971ec4395903fa6143c2b9267d048ae01ca6d3ea96f16cb30df6187d94
ARG BASE_IMAGE=docker.io/library/debian:12.12-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json bun.lock ./
COPY clients/typescript/package.json clients/typescript/
RUN npx --yes bun@1.4.5 install --frozen-lockfile
COPY . .
ARG REVISION=""
RUN FETCHBOX_COMMIT="$(printf %.12s "$REVISION")" npx --yes bun@1.4.5 run build

# /image becomes the root of the image. glibc brings its own resolver; nsswitch.conf makes it read /etc/hosts first.
FROM ${BASE_IMAGE} AS root
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates
COPY --from=build /src/dist/fetchbox /usr/local/bin/fetchbox
COPY --from=build /src/LICENSE /usr/share/doc/fetchbox/copyright
RUN mkdir -p /image/proc /image/sys /image/dev \
 && ldd /usr/local/bin/fetchbox /usr/bin/env | grep -o '/[^ )]*\.so[^ )]*' | sort -u | xargs cp --parents -L -t /image \
 && cp --parents -L -t /image /usr/local/bin/fetchbox /usr/bin/env /etc/nsswitch.conf \
    /etc/ssl/certs/ca-certificates.crt /usr/share/doc/fetchbox/copyright \
 && echo 'fetchbox:x:10001:10001:FetchBox:/data:/sbin/nologin' > /image/etc/passwd \
 && echo 'fetchbox:x:10001:' > /image/etc/group \
 && install -d -m 1777 /image/tmp \
 && install -d -m 0750 -o 10001 -g 10001 /image/data

FROM scratch
COPY --from=root /image /
# A number, so that Kubernetes can check runAsNonRoot.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# The image needs tokens of at least 16 characters: FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET. It refuses to listen
# publicly without tokens.
ENV PATH=/usr/local/bin:/usr/bin FETCHBOX__SERVER__BIND_ADDR=0.0.0.0:8080
STOPSIGNAL SIGTERM
# The entry point and the check clear the variables by which Bun runs other code than FetchBox's, opens a debugger or
# checks no certificate. A failed check makes Swarm and ECS replace the container, so it only asks whether the service
# answers. A start may migrate or recover large stores before that.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
  CMD ["env", "-u", "BUN_BE_BUN", "-u", "BUN_OPTIONS", "-u", "BUN_INSPECT", "-u", "BUN_INSPECT_CONNECT_TO", \
       "-u", "BUN_INSPECT_NOTIFY", "-u", "BUN_INSPECT_PRELOAD", "-u", "NODE_TLS_REJECT_UNAUTHORIZED", \
       "fetchbox", "health", "--live"]
ENTRYPOINT ["env", "-u", "BUN_BE_BUN", "-u", "BUN_OPTIONS", "-u", "BUN_INSPECT", "-u", "BUN_INSPECT_CONNECT_TO", \
            "-u", "BUN_INSPECT_NOTIFY", "-u", "BUN_INSPECT_PRELOAD", "-u", "NODE_TLS_REJECT_UNAUTHORIZED", \
            "fetchbox"]
CMD ["serve"]
# The last lines, so that a new revision keeps the layers above.
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="FetchBox" \
      org.opencontainers.image.description="A self-contained download service" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
