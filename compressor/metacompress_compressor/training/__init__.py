"""Training of the mapping: data, cached features, losses, loop, artifact."""
