"""
The fault table: what can break, what the status says meanwhile, and how it heals by itself.

``rows_*.py`` hold the rows as data, ``walker.py`` runs any of them, ``guard.py`` watches all the
time that nobody else is harmed. What a run has measured becomes ``docs/faults.md``:

    hack/test tests/e2e/faults --write-table
"""
