"""Making a tiny base from scratch on synthetic traces, whatever it is to play: settings, model, loop, card."""
