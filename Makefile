# Every target sets up its own virtual environment first (.venv, pinned by constraints.txt) and says what it does.
PYTHON ?= python3.11
DATA ?= ../shared/data
SEEDS ?= 0 1 2
BIN := .venv/bin

.PHONY: help demo test test-milvus chaos check lint proto bench real-input bench-quality study-quality bench-needs bench-proposer bench-trie study-drift study-frontier study-coldstart study-codes study-scaling study-shapes study-intent clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: .venv/ready ## make a world, train, start broker, worker and engine, replay a peak, write runs/demo/report.html
	$(BIN)/adgram demo runs/demo

test: .venv/ready ## run every test; those that need Apache Kafka say why when they are skipped
	$(BIN)/python -m pytest -n 4 --dist worksteal --ignore=tests/e2e # many wait for brokers: more of them than cores
	$(BIN)/python -m pytest tests/e2e

check: lint test ## what CI runs: lint, types, import contracts, proto drift, then the tests

lint: .venv/ready ## lint, format, types, import contracts, proto drift
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

proto: .venv/ready ## regenerate the stubs from proto/*.proto
	$(BIN)/python proto/generate.py

bench: real-input ## all benchmarks

real-input: .venv/ready ## import, train, serve and settle public data (DATA=folder): the tables of docs/REAL_INPUT.md
	$(BIN)/python bench/real_input.py --data $(DATA) --out runs/real-input

bench-memory: .venv/ready ## reads beside writers, Kafka to snapshot, memory and cold start: runs/bench/memory.json, 15 minutes
	$(BIN)/python bench/memory.py

bench-quality: .venv/ready ## evaluate the models that study-quality trained: runs/bench/quality.json
	$(BIN)/python bench/quality.py --folder runs/quality

study-quality: .venv/ready ## recommendation quality on Amazon Beauty and Toys (SEEDS="0 1 2", DATA=folder): hours, goes on where it was stopped
	set -e; for name in amazon_beauty amazon_toys; do \
		test -f runs/quality/$$name/marketplace.json || $(BIN)/adgram import amazon $(DATA)/$$name runs/quality/$$name; \
		models=; for seed in $(SEEDS); do \
			$(BIN)/adgram train runs/quality/$$name --models runs/quality/$$name-$$seed --minutes 50 --width 128 --seed $$seed; \
			models="$$models --models runs/quality/$$name-$$seed"; \
		done; \
		$(BIN)/adgram eval runs/quality/$$name $$models --out runs/quality/$$name.json; \
	done

bench-needs: .venv/ready ## needs in words, Chinese and English, beside BM25 and dense retrieval: about 15 minutes the first time
	$(BIN)/python bench/needs.py --out runs/bench/needs

bench-proposer: .venv/ready ## decode on this CPU beside PyTorch and under load (ARGS='--models FILE --peers DIR --served DIR …')
	$(BIN)/python bench/proposer.py $(ARGS)

bench-trie: .venv/ready ## the trie: built, changed one leaf at a time, and read under admissions: runs/bench/trie.json, 1 minute
	$(BIN)/python bench/trie.py

study-frontier: .venv/ready ## relevance against revenue over the value weight, beside re-ranking by bid: runs/bench/study-frontier.json and .png
	$(BIN)/python bench/study_frontier.py

study-drift: .venv/ready ## hit rate after a shift of interests, with and without short-term history: runs/bench/study-drift.json and .png
	$(BIN)/python bench/study_drift.py

study-coldstart: .venv/ready ## click rate of new items beside content neighbours and two towers: runs/bench/study-coldstart.json
	$(BIN)/python bench/study_coldstart.py

study-codes: .venv/ready ## codes from content, behaviour, both, and re-learned from what was retrieved: runs/bench/study-codes.json and .png, 10 minutes (DATA=folder)
	OMP_NUM_THREADS=1 $(BIN)/python bench/study_codes.py --data $(DATA)/amazon_beauty $(ARGS)

study-scaling: .venv/ready ## loss against parameters and data, with a power law fitted: runs/bench/study-scaling.json and .png, 10 minutes (DATA=folder)
	OMP_NUM_THREADS=1 $(BIN)/python bench/study_scaling.py --data $(DATA)/amazon_beauty $(ARGS)

study-shapes: .venv/ready ## quality against milliseconds over depth, width, beams, lazy or not, and the knee: runs/bench/study-shapes.json and .png, 10 minutes (DATA=folder)
	OMP_NUM_THREADS=1 $(BIN)/python bench/study_shapes.py --data $(DATA)/amazon_beauty $(ARGS)

study-intent: .venv/ready ## an intent code before the item's codes, on and off: runs/bench/study-intent.json and .png, 10 minutes (DATA=folder)
	OMP_NUM_THREADS=1 $(BIN)/python bench/study_intent.py --data $(DATA)/amazon_beauty $(ARGS)

test-milvus: .venv/ready ## the store's contract on a real Milvus server, installed into .venv/milvus (Linux x86_64)
	$(BIN)/python tests/contract/milvus_server.py .venv/milvus $(BIN)/python -m pytest tests/contract/test_commit_store.py -k server

chaos: .venv/ready ## kill -9 under load: CHAOS=20 times, then broker and Milvus away (ADGRAM_KAFKA_HOME=folder of its start script)
	$(BIN)/python bench/chaos.py --kafka $(or $(ADGRAM_KAFKA_HOME),$(dir $(DATA))kafka)/start --kills $(or $(CHAOS),20)

clean: ## remove what demo, tests and builds made; the virtual environment stays
	rm -rf runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment too
	rm -rf .venv .mypy

# The link under .mypy lets protoc and mypy see the repository's root as the package adgram.
.venv/ready: pyproject.toml constraints.txt $(wildcard kernels/native/*.cpp kernels/native/*.h*)
	@echo "setting up .venv: a few minutes the first time, torch alone is 200 MB"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	mkdir -p .mypy && ln -sfn .. .mypy/adgram
	touch $@
