"""POST /token/check: whether refresh tokens still work."""

from lib.web.token import token_app

app = token_app()
