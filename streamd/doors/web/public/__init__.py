"""The public port: media, pages for viewers and broadcasters, and who is live. No admin fact is here."""
