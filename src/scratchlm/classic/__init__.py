"""Earlier language processing behind the same protocols."""
