"""What a policy under pressure writes, and what an honest one writes: data."""
