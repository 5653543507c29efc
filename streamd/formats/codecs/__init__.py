"""What codec configuration records and the first bytes of frames say."""
