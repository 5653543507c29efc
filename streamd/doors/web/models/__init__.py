"""The JSON on the wire: requests that validate, answers that document themselves.

Each thing has a module, with the requests about it and their answers. The command line makes its answers with the same
types.
"""
