"""The admin port: the API with its token, and the operator's console. The public port has no part of it."""
