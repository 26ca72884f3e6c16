"""Decodes the answer stream of chatglm.cn, from bytes to neutral events. No I/O."""
