"""The custom resources: their names, models, conditions and schemas. Imports nothing above it."""
