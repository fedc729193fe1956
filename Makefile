# make build      the program, ./wxsidecar
# make test       everything that a change must pass; CI runs the same
# make nightly    the same for longer
# make lint fmt   what the tests ask of the code's form; fmt mends it
# make deploy     tests of the manifests and compose files
# make image      the container image
# make release    archives, bills of materials and checksums in dist: make release VERSION=v1.2.3

export GO ?= go
DOCKER ?= docker
IMAGE ?= wxsidecar
# The version that build, image and release make; empty: what Go knows of the commit.
export VERSION

# How often every test runs, and with how many inputs every fuzz target.
COUNT ?= 1
FUZZ ?= 20000x
TIMEOUT ?= 30m
# The Go vulnerability database for govulncheck: a URL or a folder.
export VULNDB

GOLANGCI_VERSION := v2.15.0
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)

# Modules of their own, so that the program does not depend on what only their tests need.
MODULES := examples/kubernetes examples/compose

.PHONY: build generate test deps vet unit deploy fuzz lint fmt vuln nightly image release clean

build:
	.ci/build wxsidecar

# Pages from their templates, the catalogue as the program has it, the table of settings, and the licences
# of what is linked; tests and lint want what is committed.
generate:
	.ci/licenses >THIRD_PARTY_LICENSES
	gzip -9nc proxy/routes/routes.tsv >proxy/routes/routes.tsv.gz
	$(GO) tool -modfile=tools.mod templ generate -include-version=false -path proxy/admin
	$(GO) tool -modfile=tools.mod templ generate -include-version=false -path proxy/authorize
	$(GO) test -run='^TestDocs_Configuration$$' . -write

# The quick and telling parts first.
test: deps build vet deploy unit fuzz lint vuln

deps:
	.ci/deps

vet:
	$(GO) vet ./...

# The race detector hides what a call allocates, and is too slow for bodies of a GiB.
unit:
	$(GO) test -race -shuffle=on -count=$(COUNT) -timeout=$(TIMEOUT) ./...
	$(GO) test -run='Allocations|FlatMemory|HugeAnswer' ./proxy

# Manifests and compose files; the unit is among the tests of the module.
deploy:
	set -e; for m in $(MODULES); do $(GO) -C $$m vet ./...; $(GO) -C $$m test -shuffle=on -count=$(COUNT) ./...; done

fuzz:
	.ci/fuzz $(FUZZ)

lint: $(GOLANGCI) generate
	git diff --exit-code -- '*_templ.go' docs/configuration.md
	$(GOLANGCI) run ./...
	set -e; for m in $(MODULES); do (cd $$m && $(CURDIR)/$(GOLANGCI) run ./...); done
	$(GO) tool -modfile=tools.mod staticcheck ./...
	$(GO) tool -modfile=tools.mod actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

fmt: $(GOLANGCI)
	$(GOLANGCI) fmt ./...

# Building it takes some minutes once; hence not in tools.mod, whose go.sum it
# would make a thousand lines.
$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .bin/golangci-lint $@

vuln:
	.ci/vuln

nightly:
	.ci/clean-root
	WXSIDECAR_NIGHTLY=1 WXSIDECAR_CRASH_ROUNDS=100 $(MAKE) test TIMEOUT=10h FUZZ=1000000x

image:
	$(DOCKER) build -t $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) .

release:
	.ci/release

clean:
	rm -rf .bin dist wxsidecar
