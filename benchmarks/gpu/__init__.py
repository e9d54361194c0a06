"""Proof on a GPU: what the documents compute, measured; see `benchmarks.gpu.proof`."""
