"""The public port: media, pages for viewers and broadcasters, and the live channels. No admin fact is here."""
