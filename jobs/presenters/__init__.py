"""How jobs look from outside: resources, serializers, entity tags, HLS playlists and signed URLs.

What is here reads and formats. It changes no row, and knows neither requests nor views.
"""
