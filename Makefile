# make help lists what there is to make. README's two commands are demo and test.
GO    ?= go
TOOLS := $(GO) tool -modfile=tools/go.mod
FLAGS := -trimpath

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/reconcile, static: it also runs on hosts with another C library
	@CGO_ENABLED=0 $(GO) build $(FLAGS) -o bin/reconcile ./cmd/reconcile

.PHONY: demo
demo: build ## the tour: a simulated pve-5, a git repository, the real binary
	@$(GO) run $(FLAGS) ./hack/demo

.PHONY: test
test: ## run the tests
	$(GO) test $(FLAGS) -timeout 30m ./...

.PHONY: race
race: ## run the tests with the race detector
	$(GO) test $(FLAGS) -race -timeout 120m ./...

.PHONY: sim
sim: ## migrations in random weather, SEEDS of them (default 5000); SEED=N tells one again
	SEEDS=$(or $(SEEDS),5000) $(GO) test $(FLAGS) ./reconciler/migration -run AnyWeather -timeout 6h -count 1

.PHONY: sim-hosts
sim-hosts: ## moves of real bytes between simulated machines in random weather, SEEDS of them (default 20)
	RECONCILE_SEEDS=$(or $(SEEDS),20) RECONCILE_EVENTS=12 $(GO) test $(FLAGS) ./cmd/reconcile -run TestMoveInAnyWeather -timeout 6h -count 1

.PHONY: lint
lint: ## gofumpt, vet, staticcheck, exhaustive switches, complete sums
	@unformatted=$$(git ls-files '*.go' | xargs $(TOOLS) gofumpt -l); \
		test -z "$$unformatted" || { echo "not gofumpt'ed:"; echo "$$unformatted"; exit 1; }
	$(GO) vet $(FLAGS) ./...
	$(GO) vet $(FLAGS) -tags lab ./hack/lab/...
	$(TOOLS) staticcheck ./...
	$(TOOLS) staticcheck -tags lab ./hack/lab/...
	$(TOOLS) exhaustive -typeonly 'reconcile/(reconciler|internal/config|internal/sim|internal/blockcopy)' ./...
	$(TOOLS) go-check-sumtype ./...

.PHONY: golden
golden: ## rewrite the golden files
	$(GO) test ./reconciler/vm ./reconciler/node ./reconciler/migration ./manifests ./internal/strictyaml -update
	$(GO) test ./cmd/reconcile -update

.PHONY: generate
generate: ## write the generated documents, the manual page and the completions
	$(GO) run ./hack/docs

.PHONY: check
check: ## fail when a generated document is stale
	$(GO) run ./hack/docs -check

VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null | sed 's/^v//; s/-/+/; s/-/./g' | grep . || git log -1 --format=0~git%cd.%h --date=format:%Y%m%d)
ARCH    ?= $(shell $(GO) env GOARCH)

.PHONY: deb
deb: ## build bin/pve-reconcile_VERSION_ARCH.deb; ARCH=arm64 for the other one
	@CGO_ENABLED=0 GOARCH=$(ARCH) $(GO) build $(FLAGS) -ldflags '-s -w -X main.release=$(VERSION)' -o bin/deb/reconcile ./cmd/reconcile
	@cd packaging && $(GO) test $(FLAGS) .
	@cd packaging && $(GO) run $(FLAGS) . -binary ../bin/deb/reconcile -version '$(VERSION)' -arch $(ARCH) -out ../bin

.PHONY: deb-test
deb-test: ## install, start, push to, upgrade, remove the package in a clean root with its own systemd (root, Debian)
	@hack/deb-test

.PHONY: bench
bench: build ## calls, bytes, seconds and memory of a pass over 10, 100, 1000 guests
	$(GO) run ./hack/bench

.PHONY: bench-push
bench-push: build ## from git push to the first write at the API, with a watched repository
	$(GO) run ./hack/bench-push

.PHONY: bench-copy
bench-copy: ## the copier beside dd, cp and qemu-img; needs 20 GB in DIR (default: the temporary directory)
	$(GO) run ./hack/bench-copy $(if $(DIR),-dir $(DIR))

.PHONY: soak
soak: build ## the daemon and 300 guests for MINUTES (default 10): pushes, drift, faults, kill -9; NODE=1: on a node
	$(GO) run $(FLAGS) ./hack/soak -minutes $(or $(MINUTES),10) $(if $(NODE),-node)
.PHONY: bench-transfer
bench-transfer: ## the transfer path of migrations beside ssh | cat; needs sshd and ssh
	$(GO) run ./hack/bench-transfer

.PHONY: fuzz
fuzz: ## fuzz what parses, SECONDS each (default 30)
	@hack/fuzz $(or $(SECONDS),30)

.PHONY: lab-up
lab-up: ## boot two guests with real ZFS, mirrors2 and pve-5; builds their image once (root, Debian)
	@hack/lab/up

.PHONY: lab-down
lab-down: ## stop the guests of the lab
	@hack/lab/down

.PHONY: lab-ssh
lab-ssh: ## a shell in a guest of the lab: HOST=pve-5
	@hack/lab/ssh $(or $(HOST),mirrors2)

LABTEST = $(GO) test $(FLAGS) -tags lab -count=1 -v

.PHONY: lab-test
lab-test: ## the migration on real ZFS, every case, or those that match RUN=pattern
	@hack/lab/test '$(RUN)'

.PHONY: lab-smoke
lab-smoke: ## one migration on real ZFS from end to end
	@hack/lab/check && $(LABTEST) -timeout 40m -run 'TestSmoke' ./hack/lab/labtest
