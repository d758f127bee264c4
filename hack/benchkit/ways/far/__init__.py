"""Programs that run on the machines or in a rival's own environment; nobody imports them."""
