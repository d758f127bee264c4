"""Entry point of ``hack/lab``."""

from __future__ import annotations

import os
import signal
import sys

from labkit.cli import main

if __name__ == "__main__":
    # Ours alone: a Python program that we start must not find our folder on its path.
    for variable in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(variable, None)
    # SIGTERM as ctrl-C: builds clean up behind themselves.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
