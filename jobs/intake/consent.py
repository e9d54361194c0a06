"""What a caller attests of the people whose likeness or voice a job uses."""

from enum import StrEnum

from avatar_api.common.fields import StrictCharField, StrictChoiceField, StrictSerializer

MAX_LENGTH = 200


class Basis(StrEnum):
    """Why somebody's likeness may be used."""

    OWN_LIKENESS = "own_likeness"
    PERMISSION = "permission"
    SYNTHETIC = "synthetic"


class ConsentSerializer(StrictSerializer):
    """On which consent a job rests."""

    subject = StrictCharField(
        max_length=MAX_LENGTH, help_text="Who is seen and heard: a name, or your own id of the person."
    )
    basis = StrictChoiceField(
        choices=[item.value for item in Basis],
        help_text="own_likeness: yourself. permission: the person allowed it. synthetic: nobody real.",
    )
    reference = StrictCharField(
        max_length=MAX_LENGTH,
        allow_blank=True,
        default="",
        help_text="Where you keep the proof, such as the number of a contract.",
    )
