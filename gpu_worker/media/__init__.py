"""Video and audio files: encoded segments, remuxing, thumbnails, normalised speech, provenance metadata.

No jobs, no storage and no engines: only files in and files out.
"""
