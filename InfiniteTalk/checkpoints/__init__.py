"""Files of weights and the modules they become: layouts, keys, conversion, loading, precision, LoRA.

How the models compute belongs beside this package; nothing here knows of windows or steps.
"""
