"""What happens before the engine runs: flags, checks against the model, and the start itself."""
