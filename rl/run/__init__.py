"""A run on disk: folder, files, checkpoints, metrics, the journal."""
