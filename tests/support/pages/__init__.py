"""What opens pages as their readers do."""
