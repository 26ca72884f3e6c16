"""Starlette glue that the handlers share."""
