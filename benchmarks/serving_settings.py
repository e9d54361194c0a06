"""Local settings with one more address: an empty view with a key and a rate limit, to compare with."""

from avatar_api.settings.local import *  # noqa: F403

ROOT_URLCONF = "benchmarks.serving_urls"
