"""Media over HTTP: what to answer to a request for a playlist, part or segment."""
