"""The operator at scale: its process, a real API server, and a thousand machines in memory."""
