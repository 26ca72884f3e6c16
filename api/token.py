"""POST /token/check: check refresh tokens. GET and POST /tokens, DELETE /tokens/{label}: the accounts."""

from lib.web.token import token_app

app = token_app()
