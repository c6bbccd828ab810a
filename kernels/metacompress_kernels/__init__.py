"""The learned mapping as one operation: a public op, its kernels and the PyTorch reference."""
