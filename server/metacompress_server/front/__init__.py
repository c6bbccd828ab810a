"""The front door: ids, errors, keys, limits, and what a stranger may ask for."""
