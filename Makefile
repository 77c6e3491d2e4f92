# The tasks of the project. You need Rust (rustup), Node 20 and a C compiler; for `make e2e` also Go (for livekit-server),
# Chromium, Caddy and nginx.

WEB_SOURCES := $(shell find web packages -path '*/node_modules' -prune -o -path '*/dist' -prune -o -type f -print 2>/dev/null)

.PHONY: run test e2e bench soak check nightly fmt web release clean

## A server with simulated meetings at http://localhost:3001
run: web/dist/index.html
	cargo run -- demo

## All tests, except those that need a LiveKit server
test: node_modules/.package-lock.json
	cargo test
	tests/cluster/install-nats
	cargo test --test cluster -- --test-threads=3
	npm test

## Tests of the built program with a real livekit-server and real participants
e2e: web/dist/index.html
	cargo build
	e2e/install-livekit
	npm run e2e

## Benchmarks, as ratios to a baseline of the same run
bench:
	cargo bench

## The simulation for as long as you like: `make soak SECONDS=3600`, from a seed of yours with `SEED=1`
soak:
	cargo test --profile soak --test sim soak -- --ignored --nocapture

## Checks that a change must pass before a review
check: node_modules/.package-lock.json
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	cargo machete --version >/dev/null 2>&1 || cargo install --locked cargo-machete
	cargo machete
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check bans licenses sources
	npm run check

## What takes longer than CI may, one line each. Nothing here is needed before a commit.
nightly: web/dist/index.html
	cargo build
	cargo test --test it delivery:: -- --ignored --nocapture
	cargo test --profile soak --test it -- --ignored --nocapture past:: a_year_of_ten_million a_million_rows
	cargo test --profile soak --lib derived::search -- --ignored --nocapture
	PROPTEST_CASES=20000 cargo test --test it -- state:: reconcile_diff:: damage::
	SECONDS=3600 $(MAKE) soak
	tests/sim/plant
	fuzz/run 600
	ROOMWATCH_TEST_HOSTILE=12000 cargo test --test it -- hostile::the_memory --nocapture
	e2e/install-livekit
	npm run e2e:soak

fmt: node_modules/.package-lock.json
	cargo fmt
	npm run format

## The dashboard, which the next build of the server embeds
web: web/dist/index.html

web/dist/index.html: node_modules/.package-lock.json $(WEB_SOURCES)
	npm run build --workspace web

node_modules/.package-lock.json: package-lock.json package.json
	npm ci --include=dev --no-audit --no-fund
	@touch $@

release: web/dist/index.html
	cargo build --release

clean:
	cargo clean
	rm -rf node_modules web/dist packages/*/dist web/node_modules packages/*/node_modules e2e/node_modules
