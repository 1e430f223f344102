# The commands of this project; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it

.PHONY: run
run: ## Build Postern and serve examples/quickstart on this machine, no cluster needed
	@tools/setup.sh run
	$(CARGO) build --bin postern
	@echo 'Serving examples/quickstart; an echo server answers for every Service. End with Ctrl-C.'
	@echo "If port 8080 is taken: make run ARGS='--bind 8080=127.0.0.1:18080'"
	@exec target/debug/postern serve examples/quickstart --echo --namespace quickstart $(ARGS)

.PHONY: cluster
cluster: ## A whole real Kubernetes on this machine with Postern and the example in it, until `make cluster-down`
	@tools/setup.sh node
	@tests/cluster/build.sh node >/dev/null
	$(CARGO) build --bin postern --bin kubectl-postern
	@tests/cluster/node.sh up
	@tests/cluster/example.sh
	@tests/cluster/node.sh hints

.PHONY: cluster-down
cluster-down: ## End it
	@tests/cluster/node.sh down

##@ Work on it

.PHONY: check
check: ## The inner loop: format, lints and unit tests
	$(CARGO) fmt
	$(CARGO) clippy --all-targets
	$(CARGO) test --lib

.PHONY: test
test: ## The whole test suite; builds and installs what it needs
	@tools/setup.sh test
ifeq ($(shell uname -s)-$(shell id -u),Linux-0)
	@tools/setup.sh node
	@tests/cluster/build.sh node >/dev/null
	$(CARGO) test --no-fail-fast
else
	@tests/cluster/build.sh >/dev/null
	@tests/cluster/build.sh chart >/dev/null
	$(CARGO) test --no-fail-fast -- --skip node::
	@echo 'NOT RUN: the tests on a whole cluster (node::). They need Linux and root.'
endif

.PHONY: test-cluster
test-cluster: ## Only the tests against a real API server
	@tools/setup.sh test
	@tests/cluster/build.sh >/dev/null
	$(CARGO) test --test it cluster::

.PHONY: test-node
test-node: ## Only the tests on a whole real cluster: the chart, pods, a LoadBalancer, updates under load
	@tools/setup.sh node
	@tests/cluster/build.sh node >/dev/null
	$(CARGO) test --test it node:: -- --nocapture

.PHONY: fuzz-smoke
fuzz-smoke: ## Run each fuzz target for 10 seconds; SECONDS_EACH=600 for longer
	@tools/setup.sh fuzz
	@tests/fuzz/smoke.sh $(or $(SECONDS_EACH),10)

.PHONY: bench
bench: ## Compare with nginx and HAProxy: CPU, memory, compile time; SECONDS=3 RUNS=5 unless told otherwise
	@tools/setup.sh bench
	@tools/setup.sh test
	@tests/cluster/build.sh >/dev/null
	$(CARGO) bench --bench soak -- --only memory
	$(CARGO) bench --bench compile
	$(CARGO) bench --bench plugin
	$(CARGO) bench --bench compare -- --seconds $(or $(SECONDS),3) --runs $(or $(RUNS),5) --write $(ARGS)

.PHONY: soak
soak: ## Long proofs: changes under load, drain, hostile input, a real API server, and the oldest one that is supported
	@tools/setup.sh soak
	@tests/cluster/build.sh >/dev/null
	KUBEBUILDER_ASSETS=$$(tests/cluster/build.sh oldest) $(CARGO) test --test it -- cluster:: certificates::
	$(CARGO) bench --bench soak -- $(ARGS)

.PHONY: image
image: ## Build the image as an archive, without Docker, and the list of what is in it: target/image/postern.{tar,cdx.json}
	@tools/setup.sh image
	@tests/cluster/build.sh image >/dev/null
	@tools/image.sh build
	@tools/image.sh archive target/image/postern.tar
	@tools/image.sh bill target/image/postern.cdx.json

.PHONY: plugin-archive
plugin-archive: ## Build kubectl postern as krew installs it: archive, sum and manifest in target/plugin
	@tools/setup.sh image
	@tools/plugin-archive.sh build
	@tools/plugin-archive.sh archive

.PHONY: worlds
worlds: ## What must hold about ownership in generated worlds; WORLDS=10000 for each property
	OWNERSHIP_WORLDS=$(or $(WORLDS),10000) $(CARGO) test --test it -- ownership:: tcp::owners

.PHONY: gen
gen: ## Write everything that is generated: crds/, docs/reference/, files of the chart
	UPDATE_GENERATED=1 $(CARGO) test --test it generated:: -- --nocapture

.PHONY: golden
golden: ## Write the golden files anew; look at the difference before you commit it
	@tests/cluster/build.sh chart >/dev/null
	UPDATE_GOLDEN=1 $(CARGO) test --test it -- golden:: chart::

.PHONY: lint
lint: ## What CI says about style: fmt, clippy and docs, warnings denied
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items --lib

.PHONY: deny
deny: ## Licences, sources and banned crates of all dependencies
	@tools/setup.sh deny
	$(CARGO) deny --log-level error check bans licenses sources

.PHONY: clean-tree
clean-tree: ## Fail if the tests or generators left the working tree different
	@test -z "$$(git status --porcelain)" || { git status --short; echo 'the tree differs: run `make gen golden` and commit the result'; exit 1; }
