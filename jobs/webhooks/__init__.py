"""Webhooks: endpoints, signed messages, the outbox written with each event, and delivery.

When an event happens is decided by `lifecycle`; connections go out through `avatar_api.common.outbound`.
"""
