"""chatglm.cn, by the account of its owner. Nothing outside imports from here but through lib/upstreams."""
