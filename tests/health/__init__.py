"""What other programs make of our objects: Argo CD's health and actions, and kstatus."""
