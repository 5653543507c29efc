"""A machine's view of a picture: its fingerprint, the scores of a classifier, and words.

The packages that do it are of the extra ``moderation``, and loaded where they are used.
"""
