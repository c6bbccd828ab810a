"""Uploaded pictures: sent once, named by their id from then on."""
