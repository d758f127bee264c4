"""Pure tests: no socket, process, sleep or clock."""
