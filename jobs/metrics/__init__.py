"""What `/metrics` reports of the deployment, a module for each of the places where the values lie.

Counters are increased where things happen (`jobs.counters`); here they are only read and printed.
"""
