# Every target is a script in hack/, which can be called without make as well.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-long check bench scale soak generate lock lab-up lab-down lab-status clean

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three game servers on two machines, from nothing (root, Debian 12 or 13)
	@hack/demo

demo-down: ## remove the demo with every trace
	@hack/demo-down

test: ## every test, on real parts, in a lab beside the demo
	@hack/test

test-long: ## more examples, races again and again, limits on a kernel, an hour of weather (four to five hours)
	@hack/test-long

bench: ## measure against floors and rivals: hack/bench --help (an hour and a half; --quick: minutes)
	@hack/bench

check: ## format, lint, types, imports, generated files, unit tests
	@hack/check

scale: ## what 100 to 1,000 simulated hosts cost the operator (half an hour)
	@hack/scale

soak: ## an hour of random changes and faults over four machines: hack/soak --help
	@hack/soak

generate: ## write crds/ and docs/api.md from the models
	@hack/venv && hack/generate

lock: ## lock requirements/*.in anew
	@hack/venv && hack/lock

lab-up: ## a cluster and two machines for daily work
	@hack/lab up

lab-down: ## remove them with every trace
	@hack/lab down

lab-status: ## which labs run
	@hack/lab status

clean: ## remove the virtual environment and what tools have left
	rm -rf .venv .venv.new .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
