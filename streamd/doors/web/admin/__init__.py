"""The admin port: the API with its token, and the operator's console. Nothing of it is on the public port."""
