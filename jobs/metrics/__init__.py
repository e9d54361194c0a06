"""What `/metrics` tells of the deployment, a module for each of the places where the answer lies.

Counters are increased where things happen (`jobs.counters`); here they are only read and printed.
"""
