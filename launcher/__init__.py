"""What `make` runs: the virtual environment, the local stack, the demo and the checks.

    python3 -m launcher demo|run|test|lint|bench|chaos|lock|clean|help

It begins on a bare Python, without anything installed, so nothing here imports at module level
what only the virtual environment has.
"""
