"""The jobs side of the HTTP API: addresses, views, filters, the multipart parser and the OpenAPI document.

A view validates, calls one service and serializes. Rules, transactions and the shape of what is answered do
not belong here: see `lifecycle`, `intake` and `presenters`.
"""
