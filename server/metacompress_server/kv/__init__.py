"""Keys and values of sessions outside the GPU: what is kept, how long, and what goes first."""
