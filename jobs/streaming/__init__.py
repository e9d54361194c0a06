"""Watching jobs without holding a thread: server-sent events and `Prefer: wait`, native in ASGI.

Everything here is asynchronous and reads only; what is sent is formatted by `presenters`.
"""
