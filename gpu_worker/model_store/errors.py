"""What can be wrong with the model store; each says in one sentence what to do."""


class ModelStoreError(Exception):
    """The model store can't do what was asked; the text is for the operator."""

    exit_code = 1


class LicenceError(ModelStoreError):
    """A licence has to be accepted first."""


class NotReadyError(ModelStoreError):
    """The models are not prepared, or not whole; trying again changes nothing (`EX_CONFIG`)."""

    exit_code = 78


class BusyError(ModelStoreError):
    """Another process prepares the same folder; try again later (`EX_TEMPFAIL`)."""

    exit_code = 75


class HubError(ModelStoreError):
    """The hub refuses, or stays away."""


class NoSpaceError(ModelStoreError):
    """The volume is too small."""
