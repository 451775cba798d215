"""Providers behind one Protocol: `base` says what each can do, `registry` finds the one for an offer."""
