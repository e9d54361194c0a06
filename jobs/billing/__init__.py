"""What usage costs and who may use how much: quotas, prices, usage and what the account has left.

Rate limits of requests are not here: they belong to `accounts`.
"""
