"""
The lab: a real Kubernetes API server and real systemd machines, without a container engine.

``labkit.lab`` is the way in: ``up()`` makes or finishes a lab, ``load()`` finds one that runs.
``hack/lab`` is its command line. Standard library only, Python 3.11, root on Debian.
"""
