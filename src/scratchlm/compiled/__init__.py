"""The decode step of a decoder as machine code, compiled from readable Python by numba."""
