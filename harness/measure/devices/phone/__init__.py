"""What makes a phone a device that measures."""
