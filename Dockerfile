# Builds the executable and puts it alone into a small image.
FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json bun.lock ./
RUN npx --yes bun@1.4.5 install --frozen-lockfile
COPY . .
RUN npx --yes bun@1.4.5 run build

FROM debian:12-slim
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
# Give it tokens: FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET. It does not start open to everyone unasked.
ENV FETCHBOX__SERVER__BIND_ADDR=0.0.0.0:8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["fetchbox"]
CMD ["serve"]
