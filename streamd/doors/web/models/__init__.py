"""What goes over the wire as JSON: requests that validate, answers that document themselves.

A module for each thing that is spoken of, with what is asked of it and what is answered. The
command line makes its answers with the same types.
"""
