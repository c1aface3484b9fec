"""A model as one HTML file that runs in a browser, from disk, without a network."""
