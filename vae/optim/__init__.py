"""How weights move: the optimizer, its learning-rate schedule, clipping, and what watches over them."""
