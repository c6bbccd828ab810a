"""How many picture dialogues a GPU holds: the arithmetic behind `metacompress plan`."""
