"""What the OpenAPI document can't learn from the views: hooks of drf-spectacular, one file a subject."""
