"""Whose turn it is, and with which token: accounts, access tokens, leases."""
