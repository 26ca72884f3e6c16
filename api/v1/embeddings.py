"""POST /v1/embeddings: OpenAI's embeddings; POST /v1/rerank: a ranking of documents. Official API only."""

from lib.web.embeddings import embeddings_app

app = embeddings_app("/v1/embeddings", rerank="/v1/rerank")
