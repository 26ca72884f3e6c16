"""litellm reads this when it is imported: without it, it fetches a list of prices."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
