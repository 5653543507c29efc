"""Moderation: reports, cases, decisions, takedowns, blocks, orders, appeals and their counts."""
