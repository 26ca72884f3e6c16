"""Everything known about chatglm.cn, and nothing about the gateway's clients.

Facts carry the date of their observation; there is no published contract.
"""
