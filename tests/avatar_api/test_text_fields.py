"""Text in requests."""

import pytest
from rest_framework import serializers

from avatar_api.common.fields import StrictCharField


@pytest.mark.parametrize("text", ["\ud800", "one half \udfff of two", "\ud83d\ude00"])
def test_half_a_character_is_refused_and_named_as_the_framework_does_it(text: str) -> None:
    errors = []
    for field in (StrictCharField(), serializers.CharField()):
        with pytest.raises(serializers.ValidationError) as refused:
            field.run_validation(text)
        errors.append(refused.value.detail)
    assert errors[0] == errors[1]
    assert errors[0][0].code == "surrogate_characters_not_allowed"


def test_every_whole_character_is_taken() -> None:
    text = "\ud7ff\ue000é漢\U0001f600"
    assert StrictCharField().run_validation(text) == text
