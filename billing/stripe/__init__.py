"""Payments by Stripe. docs/stripe.md is its page; without keys nothing here is loaded, and the operator grants credits."""
