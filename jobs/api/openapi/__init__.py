"""What the OpenAPI document can't learn from the views: hooks of drf-spectacular, one module a subject.

What a single view or serializer can say of itself is said there, with `extend_schema`, and not here.
"""
