"""The text of a key, which clients and secret scanners rely on."""

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import api_keys

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(("livemode", "mode"), [(True, "live"), (False, "test")])
def test_a_minted_key_has_the_documented_shape(livemode: bool, mode: str):
    key = api_keys.mint(livemode=livemode).key
    assert re.fullmatch(f"av_{mode}_[0-9A-Za-z]{{12}}_[0-9A-Za-z]{{49}}", key)


def test_the_last_six_characters_are_the_crc_of_all_before_them_in_base62():
    key = api_keys.mint(livemode=True).key
    number = 0
    for character in key[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(key[:-6].encode())


def test_a_known_checksum_stays_as_it_is_forever():
    assert api_keys.checksum("av_test_000000000000_" + "0" * 43) == "1KY8qQ"


def test_base62_is_padded_with_zeros():
    assert api_keys.base62(61, 6) == "00000z"


def test_a_minted_key_parses_and_verifies():
    minted = api_keys.mint(livemode=False)
    parsed = api_keys.parse(minted.key)
    assert (parsed.livemode, parsed.id) == (False, minted.id)
    assert api_keys.verify(parsed, minted.secret_sha256)


def test_another_keys_secret_does_not_verify():
    minted, other = api_keys.mint(livemode=False), api_keys.mint(livemode=False)
    assert not api_keys.verify(api_keys.parse(other.key), minted.secret_sha256)


@given(position=st.integers(0, 69), character=st.sampled_from(BASE62))
def test_one_mistyped_character_is_noticed_without_asking_the_server(position: int, character: str):
    key = "av_test_8tIwS2Jb0Nf4_" + "aZ09" * 10 + "xyz"
    key += api_keys.checksum(key)
    if key[position] == character:
        return
    with pytest.raises(api_keys.MalformedKeyError):
        api_keys.parse(key[:position] + character + key[position + 1 :])


@given(st.text())
def test_no_text_at_all_makes_the_parser_fall_over(text: str):
    with pytest.raises(api_keys.MalformedKeyError):
        api_keys.parse(text)


def test_a_key_that_changed_its_mode_does_not_verify_even_with_a_fresh_checksum():
    minted = api_keys.mint(livemode=False)
    unsigned = minted.key[:-6].replace("av_test_", "av_live_")
    forged = api_keys.parse(unsigned + api_keys.checksum(unsigned))
    assert not api_keys.verify(forged, minted.secret_sha256)


def test_neither_repr_nor_error_shows_the_secret():
    minted = api_keys.mint(livemode=False)
    secret = minted.key[-49:]
    assert secret not in repr(minted)
    assert secret not in repr(api_keys.parse(minted.key))
    with pytest.raises(api_keys.MalformedKeyError) as caught:
        api_keys.parse(minted.key[:-1] + "-")
    assert secret[:10] not in str(caught.value)


def test_ids_sort_by_the_time_of_minting():
    ids = [api_keys.base62(moment << 29, 12) for moment in (1, 1_700_000_000_000, 1_800_000_000_000)]
    assert ids == sorted(ids)
