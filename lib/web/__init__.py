"""The Starlette glue of the handlers in api/."""
