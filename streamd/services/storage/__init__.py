"""Object storage: recordings in a bucket, put there behind the recording and served from there."""
