"""Why there is no plan."""


class EndpointError(Exception):
    """The text says what to do, and tells nothing secret."""


class DeclarationError(EndpointError):
    """The file isn't a declaration."""


class ReportError(EndpointError):
    """RunPod doesn't report, or something else than it documents."""
