"""Looking inside the mapping: a PNG of where each kept token looks."""
