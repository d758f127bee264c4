"""Entry point of ``hack/bench``."""

from __future__ import annotations

import os
import signal
import sys

from benchkit.cli import main

if __name__ == "__main__":
    # Ours alone: a Python program that we start must not find our folders on its path.
    for variable in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(variable, None)
    # SIGTERM as ctrl-C: the lab goes, and so do the channels.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
