# Berth: the managed Kubernetes service that you run yourself. `make help` lists the targets.

SHELL      := /bin/bash
GO         ?= go
BIN        := build/bin
PACKAGES   := ./...
export GOFLAGS := -buildvcs=false

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(BIN)/berth ## Build berth, every component and all images (root; the first time 30 minutes)
	$(BIN)/berth build

# Go's own cache decides what is compiled again.
.PHONY: $(BIN)/berth
$(BIN)/berth:
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $@ ./cmd/berth

.PHONY: up
up: build ## Bring Berth up with a first cluster, demo
	$(BIN)/berth up

.PHONY: down
down: ## Take Berth down; clusters are kept for the next up
	$(BIN)/berth down

.PHONY: test
test: build ## Run the five rings of tests (root)
	test/rings

# The test has no network of its own, and builds Kubernetes 1.35 and an earlier patch of 1.36.
.PHONY: e2e
e2e: build ## Run the long tests: clusters upgraded from 1.35 to 1.37, of three replicas, under the support policy, and with etcds that go wrong (root; an hour and a quarter, more when these were never built)
	cd kube/1.35 && $(GO) list -deps . >/dev/null
	cd kube/1.36 && $(GO) list -deps -modfile 1.36.1.mod . >/dev/null
	$(GO) test ./test/e2e/long -count=1 -timeout 120m -v

# BERTH_CHAOS_SEED=N does again what a run did that printed N.
export BERTH_CHAOS_SEED
.PHONY: chaos
chaos: build ## Kill, freeze, cut off and fill up everything under load, and look for what is lost (root; half an hour)
	BERTH_CHAOS_MORE=$(or $(BERTH_CHAOS_MORE),20) $(GO) test ./test/chaos -count=1 -timeout 120m -v

.PHONY: unit
unit: ## Run the tests that need nothing but Go
	test/rings 1

.PHONY: bench
bench: build ## Measure every flow: time, memory, CPU
	$(GO) test ./test/bench -count=1 -timeout 120m -v -run 'TestBench'

.PHONY: lint
lint: $(BIN)/golangci-lint ## Check the code against .golangci.yml and arch_test.go
	$(BIN)/golangci-lint run $(PACKAGES)
	$(GO) test -run TestArchitecture .

$(BIN)/golangci-lint: tools/lint/go.mod
	@mkdir -p $(BIN)
	cd tools/lint && $(GO) build -trimpath -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: generate
generate: $(BIN)/controller-gen ## Write the CRDs and deep copies from api/v1beta1, and docs/support-policy.md
	$(BIN)/controller-gen object crd paths=./api/v1beta1/ output:crd:dir=./api/crd output:object:dir=./api/v1beta1
	$(GO) test ./internal/policy/clause -run TestPage -update

$(BIN)/controller-gen: tools/go.mod
	@mkdir -p $(BIN)
	cd tools && $(GO) build -trimpath -o ../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf build
