"""What moderators do: takedowns, blocks, and authorities' orders."""
