"""Watching jobs without holding a thread: server-sent events and `Prefer: wait`, native in ASGI."""
