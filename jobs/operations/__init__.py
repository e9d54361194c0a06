"""What keeps the deployment right without a request: the periodic rounds, reconciling, erasure and pruning.

Single rules that these rounds apply belong to the packages below; here is only when and in which order.
"""
