"""`make demo`: dialogues about two pictures with a running server, and what they saved."""
