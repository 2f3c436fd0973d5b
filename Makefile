# make demo      everything from nothing to the page with the tiny model, in one command
# make test      every test: Python, TypeScript, browser, and `make check`
# make check     format, lint, types of both languages and the rules in tests/house, in seconds
# make test-real the published weights of Gemma 3 270M (240 MB), from GGUF to the tab, against transformers
# make soak      the whole corpus (18,000 strings, 1,600 conversations, 370 images, 130 recordings, 60 videos), 750 random configs
#                and 600 damaged bundles in Node, Chromium and by each command
# make test-true layers of every published size, and E2B whole, at true shape with random weights (an hour, 20 GB of disk)
# make build     the page, the element and the runtime, into dist/site, and the npm package, into dist/npm
# make bench     our speed and transformers.js' on the tiny model, or on BUNDLE=folder
# make accuracy  the tiny model's right answers about 200 images and 200 recordings, in a tab and in transformers
# make wheel     the Python package with site, shaders and tiny model, into dist
# make tiny      train models/tiny again from nothing (hours)
# make clean     remove everything built by the above; .venv and node_modules stay

PYTHON = .venv/bin/python
SITE_SOURCES := $(shell find site webruntime/src webruntime/npm webruntime/scripts -type f) package.json vite.config.ts tsconfig.types.json

# Python's packages are installed beside Node's and the system's.
MAKEFLAGS += --jobs=2
# Each of the many processes of a test run would compile gemtab anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test soak test-real test-true build bench accuracy wheel tiny clean system-packages

demo: .venv/.ready-core dist/.site
	.venv/bin/gemtab demo

# These tests are among those of `make test`.
check: .venv/.ready-test node_modules/.ready
	$(PYTHON) -m pytest -q tests/quality tests/house

# In the order of testpaths: the files with few and long tests first, so that no process is left alone at the end. There
# is a process for each processor, so each computes on one thread: more would wait for each other.
test: .venv/.ready-test dist/.site system-packages
	status=0; npm test || status=1; OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder || status=1; exit $$status

soak: .venv/.ready-test dist/.site system-packages
	GEMTAB_EXAMPLES=250 GEMTAB_ROUNDS=600 OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile playwright_tests/corpus playwright_tests/test_attack.py tests/webgpu/test_random_configs.py tests/hard --corpus full

test-real: .venv/.ready-real dist/.site system-packages
	$(PYTHON) -m pytest real_tests/test_gemma3_270m.py -rP

test-true: .venv/.ready-test dist/.site system-packages
	$(PYTHON) -m pytest real_tests/test_true_layers.py real_tests/test_true_e2b.py -rP

build: dist/.site

bench: .venv/.ready-test dist/.site
	$(PYTHON) -m benchmarks.engines $(BUNDLE)

accuracy: .venv/.ready-test dist/.site system-packages
	$(PYTHON) -m pytest playwright_tests/accuracy --accuracy-cases 200

wheel: .venv/.ready-test dist/.site
	$(PYTHON) -m build --wheel --outdir dist

tiny: .venv/.ready-test
	$(PYTHON) -m models.training.train

clean:
	rm -rf dist build test-results .pytest_cache .mypy_cache .ruff_cache

system-packages:
	tools/system-packages.sh

.venv/.ready-core .venv/.ready-test .venv/.ready-real: .venv/.ready-%: pyproject.toml package.json constraints.txt tools/python-packages.sh
	tools/python-packages.sh $*
	touch $@

node_modules/.ready: package.json package-lock.json tools/node-packages.sh
	tools/node-packages.sh
	touch $@

dist/.site: node_modules/.ready $(SITE_SOURCES)
	npm run build
	touch $@
