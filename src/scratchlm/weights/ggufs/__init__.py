"""Reading and writing of GGUF, llama.cpp's file format."""
