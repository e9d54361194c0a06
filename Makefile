# Everything is done by launcher/, which needs a Python and nothing else: `python3 -m launcher help`.
# Variables given to make (`make demo KEEP=1`) reach it through the environment.

PYTHON ?= python3
COMMANDS := demo run test proofs lint bench gpu-proof chaos lock clean help

.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)

$(COMMANDS):
	@exec $(PYTHON) -m launcher $@
