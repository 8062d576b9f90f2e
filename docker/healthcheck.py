"""Does the server in this container answer? Exit code 0 if so."""

import os
import urllib.request

port = os.environ.get("CRONIUM_PORT") or "8080"
urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).read()
