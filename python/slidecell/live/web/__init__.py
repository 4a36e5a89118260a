"""What a live run serves by HTTP: metrics, health, and a page to look at."""
