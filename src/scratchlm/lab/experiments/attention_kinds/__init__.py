"""`experiment attention-kinds`: loss, memory and speed of five kinds of attention at equal parameters."""
