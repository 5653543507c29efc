"""What the public can count."""
