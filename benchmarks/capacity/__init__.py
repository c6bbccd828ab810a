"""The capacity model of `metacompress plan`: held against servers that run, drawn, tabulated."""
