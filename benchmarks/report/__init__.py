"""One report of all committed results: tables and plots, here and in the pages that quote them."""
