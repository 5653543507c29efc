"""The machine that looks at pictures of cases: it sets priorities and decides nothing."""
