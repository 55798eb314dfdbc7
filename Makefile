# Shortcuts; package.json has the commands themselves.
BUN := npx --yes bun@1.4.5

.PHONY: install build demo run check test dev-up dev-down

install:
	$(BUN) install --frozen-lockfile
build: install
	$(BUN) run build
demo: install
	$(BUN) run demo
run: build
	./dist/fetchbox serve
check: install
	$(BUN) run check
test: install
	$(BUN) test
dev-up:
	docker compose --file deploy/compose/compose.yaml up --build --detach
dev-down:
	docker compose --file deploy/compose/compose.yaml down
