"""The endpoints of chatglm.cn, and the state behind them."""
