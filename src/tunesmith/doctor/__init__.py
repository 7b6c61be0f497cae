"""What this machine has, found by trying it."""
