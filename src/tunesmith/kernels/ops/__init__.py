"""Element-wise operations between matrix products and the loss, each as a Triton kernel and in plain PyTorch."""
