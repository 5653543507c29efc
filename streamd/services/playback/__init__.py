"""The right to watch: policies, tokens and their keys, tickets, and what ends them."""
