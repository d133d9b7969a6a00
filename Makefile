# Two commands matter: `make run` and `make test`. They need Python 3.11 or newer and a package
# registry that pip knows. All they create lies in this folder: .venv and .chaching (databases of
# the tests lie in memory, where there is enough of it, while these run).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test check bench fuzz properties campaign audit tamper lock clean

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v "$$name" && break; done)
INSTALL = @[ -n "$(PYTHON)" ] || { echo 'this needs Python 3.11 or newer; run: make PYTHON=…' >&2; \
	exit 1; }; "$(PYTHON)" requirements/install.py
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --system-certs
LOCKS := run test fuzz postgres

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: ## run the service on this machine (PORT, DATABASE_URL, AMQP_URL, CHACHING_DATA_DIR)
	$(INSTALL) run
	@exec $(BIN)/chaching run

test: ## run all tests against a real PostgreSQL and a real RabbitMQ
	$(INSTALL) test
	@exec $(BIN)/pytest -n 2 --ignore=tests/benchmarks

check: ## lint, format, types, import contracts, locked requirements
	$(INSTALL) test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	@for name in $(LOCKS); do \
		cp requirements/$$name.txt .venv/$$name.txt && \
		$(COMPILE) requirements/$$name.in -o .venv/$$name.txt || exit 1; \
		diff -u requirements/$$name.txt .venv/$$name.txt || \
		{ echo "requirements/$$name.txt is not what $$name.in asks for; run: make lock" >&2; exit 1; }; \
	done

bench: ## measure durable appends and requests a second
	$(INSTALL) test
	@exec $(BIN)/python -m tests.benchmarks

fuzz: ## try broken inputs, then hold the service to its document (FUZZ="--help": options)
	$(INSTALL) test
	$(INSTALL) fuzz
	@exec $(BIN)/python -m tests.fuzz $(FUZZ)

properties: ## try the properties with new random examples, thousands of each
	$(INSTALL) test
	@exec $(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=wide

audit: ## show the auditor's promises at full length, and what they cost (AUDIT="--help": options)
	$(INSTALL) test
	@exec $(BIN)/python -m tests.audit $(AUDIT)

campaign: ## kill a subscriber 50 times while 20,000 events flow (CAMPAIGN="--help": options)
	$(INSTALL) test
	@exec $(BIN)/python -m tests.campaigns $(CAMPAIGN)

tamper: ## manipulate a log a thousand times, all of which must be found (TAMPER="--help": options)
	$(INSTALL) test
	@exec $(BIN)/python -m tests.tampering $(TAMPER)

lock: ## compile requirements/*.in into locked *.txt
	$(INSTALL) test
	@for name in $(LOCKS); do \
		$(COMPILE) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean: ## delete what the tools made; the data of `make run` stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find shared services tests -name __pycache__ -type d -prune -exec rm -rf {} +
