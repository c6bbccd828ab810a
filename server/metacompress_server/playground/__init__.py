"""`/playground`: a page to chat about a picture and to see what was kept of it."""
