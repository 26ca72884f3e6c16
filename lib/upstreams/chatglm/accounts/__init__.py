"""Accounts, their leases, cool-downs and tokens."""
