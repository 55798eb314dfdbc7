# Builds the executable and puts it alone into a small image.
FROM node:22.22.0-bookworm-slim@sha256:dd9d21971ec4395903fa6143c2b9267d048ae01ca6d3ea96f16cb30df6187d94 AS build
WORKDIR /src
COPY package.json bun.lock ./
COPY clients/typescript/package.json clients/typescript/
RUN npx --yes bun@1.4.5 install --frozen-lockfile
COPY . .
RUN npx --yes bun@1.4.5 run build

FROM debian:12.12-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data fetchbox \
 && install -d -o fetchbox -g fetchbox /data
COPY --from=build /src/dist/fetchbox /usr/local/bin/fetchbox
USER fetchbox
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Give it tokens of at least 16 characters: FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET. It does not start open to everyone unasked.
ENV FETCHBOX__SERVER__BIND_ADDR=0.0.0.0:8080
STOPSIGNAL SIGTERM
# By these variables Bun runs other code than FetchBox's, or lets a debugger in.
ENTRYPOINT ["env", "-u", "BUN_BE_BUN", "-u", "BUN_OPTIONS", "-u", "BUN_INSPECT", "fetchbox"]
CMD ["serve"]
