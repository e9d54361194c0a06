"""The views, a module for each resource of the API.

Whatever a view needs beyond validating, calling one service and serializing belongs below `jobs.api`.
"""
