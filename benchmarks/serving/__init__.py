"""Multi-turn dialogues about pictures with running servers: what compression gains, and costs."""
