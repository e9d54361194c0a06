"""What runs in the confined process: it measures an untrusted file and writes a normalised copy.

Nothing here imports Django or may know settings, secrets or tenants.
"""
