"""What every run shares: its folder, its manifest, its resume, its hooks."""
