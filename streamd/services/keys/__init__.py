"""Stream keys: issue, verify, rotate, revoke; the store behind them."""
