"""Reports, cases, evidence, takedowns, orders, appeals, and what the public can count of them."""
