"""A Content-Security-Policy on every answer: what a browser may load and run because of it."""

from collections.abc import Callable, Iterable

from django.http import HttpRequest, HttpResponse

# JSON, videos, pictures: nothing in them may ever run, wherever they are opened.
FILES = "default-src 'none'; frame-ancestors 'none'"
# The admin (Alpine.js) and the browsable API bring inline scripts, and Alpine evaluates its attributes. What
# guards against injection is that Django's templates escape; the policy keeps sources, forms and frames at
# home. Pictures and videos may come by signed links from the object store.
PAGES = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob: https:",
        "media-src 'self' https:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


def strict_policy(*stores: str, forms: Iterable[str] = ()) -> str:
    """For pages whose scripts and styles are all files of ours: nothing inline runs.

    Args:
        stores: Origins of object stores, from which players and pictures are redirected files.
        forms: Origins to which a form of ours may be redirected.
    """
    files = " ".join(("'self'", "blob:", *stores))
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {files} data:",
            f"media-src {files}",
            " ".join(("connect-src 'self'", *stores)),
            " ".join(("form-action 'self'", *forms)),
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


class ContentSecurityPolicyMiddleware:
    """Gives a policy to what brings none of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault("Content-Security-Policy", PAGES if is_page else FILES)
        return response
