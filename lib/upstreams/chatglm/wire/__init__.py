"""chatglm.cn's wire: paths, headers, bodies, signatures, and the calls themselves."""
