"""
The operator as a process on this machine, and the demo around it. Standard library only.

``hack/demo`` runs ``python -m demokit``; the end-to-end tests import ``operator``.
"""
