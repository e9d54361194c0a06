"""What anybody who can write to Redis or to the store may leave there, for hypothesis."""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

numbers = st.one_of(
    st.integers(),
    st.integers(min_value=10**30, max_value=10**60),
    st.floats(),
    st.sampled_from([-1, 0, 1, 2**63, 1e308]),
)
texts = st.one_of(st.text(max_size=20), st.sampled_from(["\x00", "\ud800", "x" * 3000, "../..", "NaN"]))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def written(value: object) -> bytes:
    """As JSON, or what takes itself for it: NaN and lone surrogates too."""
    return json.dumps(value).encode()


def near(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A value as it should be, of which some fields are odd, missing or unknown."""
    changed = st.dictionaries(st.sampled_from([*good, "unknown"]), values, max_size=3)
    left_out = st.sets(st.sampled_from([*good]), max_size=1)
    return st.builds(
        lambda new, without: {name: value for name, value in (good | new).items() if name not in without},
        changed,
        left_out,
    )


def contents(good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bytes that may be this value, something like it, other JSON, or nothing of the kind."""
    return st.one_of(st.binary(max_size=40), values.map(written), near(good).map(written))


some = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Many enough to find what is odd, and few enough for every run."""
