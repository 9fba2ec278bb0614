"""From components to one score: the recipe's section, weights, gates, the fault limit."""
