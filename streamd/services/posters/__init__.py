"""A picture of each live stream, drawn by a process that is confined to drawing."""
