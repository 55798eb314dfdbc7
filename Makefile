# Shortcuts for the commands of package.json, docker and kubectl. `make help` lists them.
BUN := npx --yes bun@1.4.5
IMAGE ?= fetchbox
VERSION = $(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)
REVISION = $(shell git rev-parse HEAD)
# Without a user and a password, which a URL of Git may have.
SOURCE = $(shell git config --get remote.origin.url | sed "s,//[^@/]*@,//,")

.DEFAULT_GOAL := help
.PHONY: help install build demo run check test package image dev-up dev-down clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

install: ## install the dependencies
	$(BUN) install --frozen-lockfile

build: install ## build dist/fetchbox
	$(BUN) run build

demo: install ## run the service with a sample manifest for a minute
	$(BUN) run demo

run: build ## run the service in this folder
	./dist/fetchbox serve

check: install ## run all checks and tests
	$(BUN) run check

test: install ## run all tests
	$(BUN) run test

package: build ## pack dist/fetchbox as .deb and tar.gz in dist/packages
	$(BUN) scripts/package.ts

image: ## build the container image
	docker build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --build-arg SOURCE=$(SOURCE) .

dev-up: ## start FetchBox with an S3 server in containers
	docker compose --file deploy/compose/compose.yaml up --build --detach

dev-down: ## stop the containers of dev-up; their volumes stay
	docker compose --file deploy/compose/compose.yaml down

clean: ## remove dist
	rm -rf dist
