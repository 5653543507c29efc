"""HLS playlists as text and the delivery directives of a playlist request (rfc8216bis-22)."""
