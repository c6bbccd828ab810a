"""Sessions of every tenant: their pictures and turns, how they end, what they save."""
