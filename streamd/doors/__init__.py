"""Sockets and HTTP: translate, decide nothing."""
