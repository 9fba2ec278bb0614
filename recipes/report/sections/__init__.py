"""The sections of the page, each made of what lies in the folders."""
