"""`doubleback check RECIPE --plan`: what a recipe would take on more GPUs than there are."""
