"""Weather over a real operator and real machines: random changes and faults at once, watched."""
