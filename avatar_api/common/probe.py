"""The image's health check: asks the web process of its own container whether it is alive."""

import os
import urllib.request

PORT = os.environ.get("GRANIAN_PORT", "8000")

if __name__ == "__main__":
    # Anything but a 2xx raises, and the exit status is then 1.
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=4).close()
