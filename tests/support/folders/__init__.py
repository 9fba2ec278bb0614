"""Folders as our commands leave them, for who reads them."""
