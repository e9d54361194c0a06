"""How fast it is and what it takes; each module runs alone, `python -m benchmarks` runs all."""
