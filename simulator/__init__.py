"""An imitation of chatglm.cn, as strict as the real thing; imports nothing of lib/."""
